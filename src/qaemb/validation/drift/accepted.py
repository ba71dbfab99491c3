"""Versions of a job's answers, and the reference: an accepted version, in a folder that git or DVC keeps.

reference.json                 what was accepted and when, questions with their words, digests of the tables
summary.parquet                a row per question, over the whole matrix
margin.parquet, mass.parquet   segment_id, one float32 column per question: a sample of the matrix
texts.parquet                  segment_id and text of the sample; may be left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.errors import BadInput
from qaemb.files import atomic_folder, read_json, read_table, write_json
from qaemb.identity import file_sha256, json_id, text_id
from qaemb.questions import Question

KEY = "segment_id"


@dataclass(frozen=True)
class Origin:
    """Where answers are from; `key` is the answerer's, `n_segments` and the digests are of the whole matrix."""

    dataset: str
    job: str
    answerer: str
    key: str
    segmentation: str
    question_set: str
    n_segments: int
    answers_sha256: str
    mass_sha256: str


@dataclass(frozen=True, eq=False)
class Version:
    """Answers to `questions`: `margin` and `mass` have `segment_id` and a float32 column per question, by name.

    `texts` has the words of segments by id; it may lack some segments.
    """

    origin: Origin
    questions: Sequence[Question]
    margin: pd.DataFrame
    mass: pd.DataFrame
    texts: Mapping[str, str] = field(default_factory=dict)

    def sample(self, n: int) -> Version:
        """Return a version of the `n` segments with the smallest ids, in the order of ids.

        An id is a hash, so these are a random sample, and two versions of the same texts have the same one.
        """
        ids = sorted(self.margin[KEY])[:n]
        margin, mass = (table.set_index(KEY).loc[ids].reset_index() for table in (self.margin, self.mass))
        texts = {segment: self.texts[segment] for segment in ids if segment in self.texts}
        return Version(self.origin, self.questions, margin, mass, texts)


_FORMAT = 1
_HEAD = "reference.json"
_TABLES = ("summary.parquet", "margin.parquet", "mass.parquet")
_TEXTS = "texts.parquet"


@dataclass(frozen=True, eq=False)
class Reference:
    """A version that was accepted: a sample of its answers, and `summary`, that of all of them (see `summarise`)."""

    name: str
    accepted_at: str
    sample: Version
    summary: pd.DataFrame


def write_reference(reference: Reference, folder: Path) -> None:
    """Write a reference as a folder, whole or not at all; an earlier one of its name is replaced."""
    sample = reference.sample
    tables = dict(zip(_TABLES, (reference.summary, sample.margin, sample.mass), strict=True))
    if sample.texts:
        tables[_TEXTS] = pd.DataFrame({KEY: list(sample.texts), "text": list(sample.texts.values())})
    with atomic_folder(folder) as temporary:
        for name, table in tables.items():
            table.to_parquet(temporary / name, index=False)
        head = {
            "format": _FORMAT,
            "accepted_at": reference.accepted_at,
            **asdict(sample.origin),
            "n_sampled": len(sample.margin),
            "questions": [{"question_id": q.question_id, "name": q.name, "text": q.text} for q in sample.questions],
            "files": {name: file_sha256(temporary / name) for name in tables},
        }
        write_json(temporary / _HEAD, head | {"digest": json_id(head)})


def read_reference(folder: Path) -> Reference:
    """Return a reference, checked in all parts; BadInput names the file, what is wrong with it and the way out."""
    path = folder / _HEAD
    if not path.is_file():
        there = ", ".join(sorted(other.parent.name for other in folder.parent.glob(f"*/{_HEAD}"))) or "none"
        raise BadInput(
            f"there is no reference `{folder.name}` in {folder.parent} (there are: {there}); name one of these, or "
            f"make it with `qaemb drift accept JOB --as {folder.name}`"
        )
    head = _read_head(path)
    try:
        origin = Origin(**{name: head[name] for name in Origin.__dataclass_fields__})
        questions = [Question(item["name"], item["text"]) for item in head["questions"]]
        ids = [item["question_id"] for item in head["questions"]]
        accepted_at, n_sampled, files = str(head["accepted_at"]), int(head["n_sampled"]), dict(head["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} lacks {error} or has another form; {_again(folder)}") from error
    if ids != [text_id(question.text) for question in questions]:
        raise BadInput(f"{path}: a `question_id` is not the hash of its question's words; {_again(folder)}")
    if not set(_TABLES) <= set(files) <= {*_TABLES, _TEXTS}:
        raise BadInput(f"{path}: `files` names {sorted(files)}, not {sorted(_TABLES)}; {_again(folder)}")
    tables = {name: _read_whole(folder / name, files[name]) for name in files}
    names = [question.name for question in questions]
    _check_tables(folder, tables, names, n_sampled)
    texts = tables[_TEXTS] if _TEXTS in tables else pd.DataFrame({KEY: [], "text": []})
    words = dict(zip(texts[KEY], texts["text"], strict=True))
    sample = Version(origin, questions, tables["margin.parquet"], tables["mass.parquet"], words)
    return Reference(folder.name, accepted_at, sample, tables["summary.parquet"])


def _read_head(path: Path) -> Mapping[str, Any]:
    head = read_json(path)
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise BadInput(f"{path} is no reference of format {_FORMAT}; {_again(path.parent)}")
    rest = {name: value for name, value in head.items() if name != "digest"}
    if head.get("digest") != json_id(rest):
        raise BadInput(f"{path} was changed after it was written (its `digest` differs); {_again(path.parent)}")
    return rest


def _read_whole(path: Path, digest: str) -> pd.DataFrame:
    if not path.is_file():
        raise BadInput(f"{path} does not exist, but {_HEAD} names it; {_again(path.parent)}")
    if file_sha256(path) != digest:
        raise BadInput(f"{path} is damaged or was changed (its SHA-256 differs); {_again(path.parent)}")
    return read_table(path)


def _check_tables(folder: Path, tables: Mapping[str, pd.DataFrame], names: list[str], n_sampled: int) -> None:
    """Raise BadInput where a table has not the rows and columns that reference.json says."""
    margin, mass, summary = (tables[name] for name in ("margin.parquet", "mass.parquet", "summary.parquet"))
    for file, table in {"margin.parquet": margin, "mass.parquet": mass}.items():
        if list(table.columns) != [KEY, *names] or len(table) != n_sampled or not table[KEY].is_unique:
            raise BadInput(
                f"{folder / file} is not {n_sampled} segments x {len(names)} questions, as {_HEAD} says; "
                f"{_again(folder)}"
            )
        if not np.isfinite(table[names].to_numpy(np.float64)).all():
            raise BadInput(f"{folder / file} holds a value that is not finite; {_again(folder)}")
    if margin[KEY].tolist() != mass[KEY].tolist():
        raise BadInput(f"{folder / 'mass.parquet'} has other segments than margin.parquet; {_again(folder)}")
    if "name" not in summary or summary["name"].tolist() != names:
        raise BadInput(f"{folder / 'summary.parquet'} has other questions than {_HEAD}; {_again(folder)}")


def _again(folder: Path) -> str:
    return f"bring it back from git or DVC, or make it again with `qaemb drift accept JOB --as {folder.name}`"
