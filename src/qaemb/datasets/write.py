"""The stage `dataset`: which stories are trained on and tested on, and the tables of a source, story by story."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.datasets.arrays import CHUNK_VOXELS, read_block, voxel_blocks
from qaemb.datasets.source import Source
from qaemb.errors import BadInput, BadParameter, require_name
from qaemb.files import write_json, write_table

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class _Split:
    """Subjects, and stories in the order in which they are written: train stories, then test stories."""

    subjects: list[str]
    train: list[str]
    test: list[str]

    @property
    def stories(self) -> list[str]:
        """All stories."""
        return self.train + self.test


def choose_stories(
    source: Source, subjects: list[str], test: list[str], train: list[str] | Literal["all", "shared"]
) -> _Split:
    """Return the split: `test` as listed; `train` as listed, or all other stories, or those that all subjects share.

    `all` means every story that at least one subject heard and that is not held out for testing, by `test` or by the
    source. BadParameter if a name is unknown, listed twice or in both splits; BadInput if a subject lacks a test story
    or nothing is left to train on. A train story may be missing for some subjects.
    """
    _require_names("subject", "dataset.subjects", subjects, source.subjects())
    _require_names("story", "dataset.test_stories", test, source.stories())
    for subject in subjects:
        missing = [story for story in test if not source.has(subject, story)]
        if missing:
            raise BadInput(f"{subject} has no responses to test story {missing[0]}; take the story or the subject out")
    if isinstance(train, list):
        _require_names("story", "dataset.train_stories", train, source.stories())
        both = [story for story in train if story in test]
        if both:
            raise BadParameter(f"dataset.train_stories: {both[0]} is a test story too; take it out of one list")
    else:
        enough = all if train == "shared" else any
        others = [story for story in source.stories() if story not in test and story not in source.held_out()]
        train = [story for story in others if enough(source.has(subject, story) for subject in subjects)]
    for subject in subjects:
        if not any(source.has(subject, story) for story in train):
            raise BadInput(f"{subject} has no responses to any train story; see dataset.train_stories")
    return _Split(subjects, train, test)


def _require_names(what: str, key: str, names: list[str], in_source: list[str]) -> None:
    for name in names:
        require_name(in_source, name, what, f"the data set ({key})")
    if len(set(names)) < len(names):
        raise BadParameter(f"{key}: a name is there twice: {', '.join(names)}")


_SENTENCES = {"story": "str", "index": "int32", "first_word": "int32", "last_word": "int32", "text": "str"}


@dataclass
class _Texts:
    """Rows of the tables that hold text, gathered over stories."""

    words: list[pd.DataFrame] = field(default_factory=list)
    stories: list[dict[str, Any]] = field(default_factory=list)
    sentences: list[pd.DataFrame] = field(default_factory=list)
    gold: list[pd.DataFrame] = field(default_factory=list)
    published: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    marks: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def write_dataset(source: Source, split: _Split, folder: Path) -> dict[str, Any]:
    """Write all tables and responses into an empty folder and return the summary (also written, summary.json).

    What is returned alone: `marks` counts the labels that are no words, `notes` says by story what a user should know.
    BadInput names the file of the source that is wrong. The caller removes the folder when that happens.
    """
    texts = _gather_texts(source, split)
    _write_texts(texts, source.gold_properties(), folder)
    (folder / "responses").mkdir()
    subjects = {}
    with tqdm(total=len(split.subjects) * len(split.stories), desc="responses", unit="story", leave=False) as bar:
        for subject in split.subjects:
            subjects[subject] = _write_responses(source, split, subject, folder / "responses" / f"{subject}.h5", bar)
    _write_voxels(source, split, folder)
    summary = {
        "stories": {"train": len(split.train), "test": len(split.test)},
        "words": sum(len(table) for table in texts.words),
        "sentences": sum(len(table) for table in texts.sentences),
        "trs": sum(row["n_trs"] for row in texts.stories),
        "test_stories": split.test,
        "subjects": subjects,
    }
    write_json(folder / "summary.json", summary)
    return summary | {"marks": texts.marks, "notes": texts.notes}


def _gather_texts(source: Source, split: _Split) -> _Texts:
    texts = _Texts()
    for story in tqdm(split.stories, desc="texts", unit="story", leave=False):
        words = source.words(story)
        timing = source.timing(story)
        texts.marks += words.attrs.get("marks", Counter())
        texts.notes += [f"{story}: {note}" for note in words.attrs.get("notes", [])]
        texts.words.append(_numbered(story, words[["word", "onset_s", "offset_s"]], "index"))
        kind = "test" if story in split.test else "train"
        texts.stories.append({"story": story, "split": kind, **vars(timing)})
        sentences = source.sentences(story)
        if sentences is not None:
            check_sentences(story, sentences, len(words))
            texts.sentences.append(sentences.assign(story=story))
        gold = source.gold(story)
        if gold is not None:
            texts.gold.append(_keyed(story, gold.astype({"index": np.int32})))
        for name, table in source.published(story).items():
            texts.published[name].append(_numbered(story, table, "tr"))
    return texts


def _keyed(story: str, table: pd.DataFrame) -> pd.DataFrame:
    keys = pd.DataFrame({"story": [story] * len(table)})
    return pd.concat([keys, table.reset_index(drop=True)], axis=1)


def _numbered(story: str, table: pd.DataFrame, column: str) -> pd.DataFrame:
    numbers = pd.DataFrame({column: np.arange(len(table), dtype=np.int32)})
    return _keyed(story, pd.concat([numbers, table.reset_index(drop=True)], axis=1))


def check_sentences(story: str, sentences: pd.DataFrame, n_words: int) -> None:
    """Raise BadInput unless the sentences of a story cover its words without gaps."""
    first, last = sentences["first_word"].to_numpy(), sentences["last_word"].to_numpy()
    follows = np.append(0, last[:-1] + 1)
    wrong = np.flatnonzero((first != follows) | (last < first))
    if len(wrong) or (len(last) and last[-1] != n_words - 1):
        row = wrong[0] if len(wrong) else len(last) - 1
        raise BadInput(
            f"{story}: sentence {row} spans words {first[row]} to {last[row]}, but the sentences should cover the "
            f"{n_words} words of the transcript without gaps; the sentences and the TextGrid do not belong together"
        )


def _write_texts(texts: _Texts, properties: pd.DataFrame | None, folder: Path) -> None:
    write_table(folder / "words.parquet", pd.concat(texts.words, ignore_index=True))
    stories = pd.DataFrame(texts.stories).astype({"n_trs": np.int32})
    write_table(folder / "stories.parquet", stories)
    sentences = pd.concat(texts.sentences) if texts.sentences else pd.DataFrame(columns=list(_SENTENCES))
    write_table(folder / "sentences.parquet", sentences[list(_SENTENCES)].astype(_SENTENCES))
    if properties is not None and texts.gold:
        write_table(folder / "gold_properties.parquet", properties[["property", "question"]])
        write_table(folder / "gold.parquet", pd.concat(texts.gold, ignore_index=True))
    for name, tables in texts.published.items():
        write_table(folder / "published" / f"{name}.parquet", pd.concat(tables, ignore_index=True))


def _write_voxels(source: Source, split: _Split, folder: Path) -> None:
    by_subject = {subject: source.voxels(subject) for subject in split.subjects}
    tables = [table.assign(subject=subject) for subject, table in by_subject.items() if table is not None]
    if tables:
        voxels = pd.concat(tables, ignore_index=True)[["subject", "voxel", "hemi", "vertex", "region"]]
        write_table(folder / "voxels.parquet", voxels.astype({"voxel": np.int32, "vertex": np.int32}))


def _write_responses(source: Source, split: _Split, subject: str, path: Path, bar: tqdm[Any]) -> dict[str, Any]:
    import h5py

    missing, repeats, has_nan, first = [], {}, None, ""
    with h5py.File(path, "w") as file:
        for story in split.stories:
            bar.set_postfix_str(f"{subject} {story}", refresh=False)
            bar.update()
            if not source.has(subject, story):
                missing.append(story)
                continue
            with source.responses(subject, story) as responses:
                n_voxels = responses.data.shape[1]
                if has_nan is None:
                    has_nan, first = np.zeros(n_voxels, dtype=bool), story
                if n_voxels != len(has_nan):
                    raise BadInput(
                        f"{subject}: {story} has {n_voxels} voxels, {first} has {len(has_nan)}; all must be of one mask"
                    )
                has_nan |= _copy(file, f"data/{story}", responses.data, responses.where)
                if responses.repeats is not None:
                    repeats[story] = len(responses.repeats)
                    _copy(file, f"repeats/{story}", responses.repeats, responses.where)
    n_stories = len(split.stories) - len(missing)
    n_voxels, n_nan = (0, 0) if has_nan is None else (len(has_nan), int(has_nan.sum()))
    return {"voxels": n_voxels, "stories": n_stories, "missing": missing, "nan_voxels": n_nan, "repeats": repeats}


def _copy(file: h5py.File, name: str, values: Any, where: str) -> NDArray[np.bool_]:
    """Copy an array of two or three axes as float32, block by block, and return which voxels hold a NaN.

    A chunk holds all rows of 1,024 voxels, because responses are read in blocks of voxels. Measured with 300 x 95,556
    values: reading 4,096 voxels of a story took 15 ms from the disk and 9 ms from memory, against 64 and 20 ms from a
    contiguous data set; writing a story took 0.31 s against 0.17 s.
    """
    *runs, rows, voxels = values.shape
    chunks = (*(1 for _ in runs), rows, min(CHUNK_VOXELS, voxels))
    target = file.create_dataset(name, shape=values.shape, dtype=np.float32, chunks=chunks)
    has_nan = np.zeros(voxels, dtype=bool)
    for place in voxel_blocks(values.shape):
        block = read_block(values, place, where).astype(np.float32)
        target[place] = block
        has_nan[place[-1]] |= np.isnan(block).any(axis=0)
    return has_nan
