"""An answer matrix as a folder that travels, and engine `published`, which answers from such a folder.

    margin.parquet, mass.parquet   segment_id, one float32 column per question, named by its id
    block.parquet                  the same shape, int32: which of `blocks` each answer is from
    provenance.json                answerer, key, spec, questions with their words, blocks, digests of the tables

`block.parquet` is left out for an ensemble or a cascade, whose answers are computed from those of several answerers.
Segments are named by the hash of their words; the words stay where they are. `qaemb answers export` writes the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost
from qaemb.errors import BadInput
from qaemb.files import atomic_folder, read_json, read_table, write_json
from qaemb.identity import file_sha256, json_id, text_id
from qaemb.models.inputs import Progress, check_inputs
from qaemb.settings import PublishedAnswererSettings

FORMAT = 1
_TABLES = ("margin.parquet", "mass.parquet")
_BLOCKS = "block.parquet"
_SEGMENT = "segment_id"
_PLAIN = ("answerer", "key", "spec", "about", "exported_at", "questions", "blocks")  # in provenance.json as they are

Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Export:
    """A matrix of one answerer and where it is from.

    `margin` and `mass` float32 (segments, questions); `block` int32 of that shape: the place in `blocks`, each of which
    says how its answers were made (see `provenance.Provenance`) and its file's name. `digests` of the tables by file.
    """

    answerer: str
    key: str
    spec: Mapping[str, Any]
    segment_ids: Sequence[str]
    questions: Sequence[Mapping[str, str]]
    margin: Matrix
    mass: Matrix
    block: NDArray[np.int32] | None = None
    blocks: Sequence[Mapping[str, Any]] = ()
    exported_at: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def question_ids(self) -> list[str]:
        """The hashes of the questions' words, in the columns' order."""
        return [question["question_id"] for question in self.questions]


def write_export(export: Export, folder: Path) -> None:
    """Write an export as a folder, whole or not at all; BadInput if the folder is there already."""
    if folder.exists():
        raise BadInput(f"{folder} is there already; remove it, or export to another folder")
    with atomic_folder(folder) as temporary:
        tables: dict[str, NDArray[Any]] = {"margin.parquet": export.margin, "mass.parquet": export.mass}
        if export.block is not None:
            tables[_BLOCKS] = export.block
        for name, values in tables.items():
            table = pd.DataFrame(values, columns=export.question_ids)
            table.insert(0, _SEGMENT, list(export.segment_ids))
            table.to_parquet(temporary / name, index=False)
        plain = {name: getattr(export, name) for name in _PLAIN}
        digests = {name: file_sha256(temporary / name) for name in tables}
        write_json(temporary / "provenance.json", {"format": FORMAT, **plain, "files": digests})


def read_export(folder: Path) -> Export:
    """Return an export, checked in all parts; BadInput names the file and what is wrong with it."""
    path = folder / "provenance.json"
    if not path.is_file():
        raise BadInput(f"{folder} is no export of answers: it has no provenance.json; see `qaemb answers export`")
    plain = read_json(path)
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise BadInput(f"{path}: format {plain.get('format') if isinstance(plain, dict) else '?'} is not {FORMAT}")
    try:
        fields = {name: plain[name] for name in _PLAIN}
        digests = {name: str(plain["files"][name]) for name in plain["files"]}
        ids = [str(question["question_id"]) for question in fields["questions"]]
        words = [str(question["text"]) for question in fields["questions"]]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path} lacks {error}; export it again") from error
    _check_ids(path, fields, ids, words)
    if not set(_TABLES) <= set(digests) <= {*_TABLES, _BLOCKS}:
        raise BadInput(f"{path}: `files` names {sorted(digests)}, expected {sorted(_TABLES)} and perhaps {_BLOCKS}")
    tables = {name: _table(folder / name, digest, ids) for name, digest in digests.items()}
    segments = tables["margin.parquet"][0]
    for name, (ids_of_rows, values) in tables.items():
        if ids_of_rows != segments:
            raise BadInput(f"{folder / name} has other segments than margin.parquet; export it again")
        if name in _TABLES and not np.isfinite(values).all():
            raise BadInput(f"{folder / name} holds a value that is not finite; export it again")
    block = tables[_BLOCKS][1].astype(np.int32) if _BLOCKS in tables else None
    if block is not None and not ((block >= 0) & (block < len(fields["blocks"]))).all():
        raise BadInput(f"{folder / _BLOCKS} names a block that provenance.json does not have; export it again")
    margin, mass = (tables[name][1].astype(np.float32) for name in _TABLES)
    return Export(**fields, segment_ids=segments, margin=margin, mass=mass, block=block, digests=digests)


def _check_ids(path: Path, fields: Mapping[str, Any], ids: Sequence[str], words: Sequence[str]) -> None:
    if json_id(fields["spec"]) != fields["key"]:
        raise BadInput(f"{path}: `key` {fields['key']} is not the hash of `spec`; it was changed after the export")
    for name, text in zip(ids, words, strict=True):
        if text_id(text) != name:
            raise BadInput(f"{path}: question {name} is not the hash of its words {text!r}; it was changed")
    if len(set(ids)) < len(ids):
        raise BadInput(f"{path}: a question stands twice; export it again")


def _table(path: Path, digest: str, question_ids: list[str]) -> tuple[list[str], NDArray[Any]]:
    if not path.is_file():
        raise BadInput(f"{path} does not exist, but provenance.json names it; copy the whole folder again")
    if file_sha256(path) != digest:
        raise BadInput(f"{path} is not the file that was exported (its SHA-256 differs); copy the whole folder again")
    table = read_table(path)
    if list(table.columns) != [_SEGMENT, *question_ids]:
        raise BadInput(f"{path} has other columns than provenance.json has questions; export it again")
    segments = table[_SEGMENT].tolist()
    if len(set(segments)) < len(segments):
        raise BadInput(f"{path}: a segment stands twice; export it again")
    return segments, table[question_ids].to_numpy()


class PublishedAnswerer(Answerer):
    """Answers what is in an export, and refuses the rest: nothing is computed."""

    def __init__(self, settings: PublishedAnswererSettings, folder: Path) -> None:
        self.settings, self.engine_name, self.folder = settings, settings.engine, folder

    @cached_property
    def export(self) -> Export:
        """The matrix and where it is from, checked; BadInput names what is wrong."""
        return read_export(self.folder)

    @property
    def spec(self) -> dict[str, Any]:
        """The key of whose answers these are, and the digests of the tables."""
        return {"engine": self.engine_name, "source": self.export.key, "files": self.export.digests}

    @property
    def source(self) -> str:
        """What a block says of where its answers are from."""
        return f"{self.export.answerer} ({self.export.key}), exported {self.export.exported_at}"

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return no cost: reading takes no token."""
        check_inputs(texts, questions)
        return Cost(0, 0)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question; BadInput names one that the export lacks."""
        check_inputs(texts, questions)
        rows = self._places("text", texts, self._rows)
        columns = self._places("question", questions, self._columns)
        cells = np.ix_(rows, columns)
        if progress is not None:
            progress(len(texts) * len(questions))
        return Answers(self.export.margin[cells], self.export.mass[cells])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.export.segment_ids)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.export.question_ids)}

    def _places(self, kind: str, values: Sequence[str], places: dict[str, int]) -> list[int]:
        ids = [text_id(value) for value in values]
        missing = [value for name, value in zip(ids, values, strict=True) if name not in places]
        if missing:
            raise BadInput(
                f"{self.folder} has no answers for {len(missing)} of {len(values)} {kind}s, first {missing[0]!r}; "
                f"it has {len(places)}: use the segmentation and question set that were exported, or have more exported"
            )
        return [places[name] for name in ids]
