"""lebel_pcs: responses to stories as principal components per TR, words per TR, GPT-4's answers per TR.

The data lie on disk in one of two forms; the folder's files say which:

- repacked: `texts.json` ({story: {split, texts per TR}}), `SUBJECT.npz` (per story (TRs, components)) and
  `gpt4_labels.npz` (`questions`, and per story (TRs, questions));
- published (github.com/csinva/fmri, `data/decoding`): pickled data frames `SUBJECT/{train,test}/STORY.pkl` (columns
  PC0.., index = the words of each TR) and `labels/{train,test}/STORY_labels.pkl` (one column per question).

TR j covers [2 j, 2 j + 2) seconds. There are no word onsets: the words of a TR are spread evenly over it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.datasets.arrays import check_arrays
from qaemb.datasets.doctor import (
    Check,
    Compared,
    Problem,
    Recorded,
    check_responses,
    check_stories,
    check_words,
    unless_bad,
)
from qaemb.datasets.pickles import read_frame
from qaemb.datasets.source import Adapter, Responses, Source, Timing
from qaemb.datasets.words import NO_RULES, LabelRules, clean_word
from qaemb.errors import BadInput
from qaemb.files import read_json

TR_S = 2.0
PUBLISHED_NAME = "gpt4"
_SPLITS = ("train", "test")


class _RepackedForm:
    """`texts.json`, one npz per subject, `gpt4_labels.npz`. `splits`: story -> train or test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stories = _read_texts(folder / "texts.json")
        self.splits = {story: entry["split"] for story, entry in self._stories.items()}
        self._labels_path = folder / "gpt4_labels.npz"
        self._names = sorted(path.stem for path in folder.glob("*.npz"))
        self._arrays = lru_cache(maxsize=None)(lambda name: _open_npz(folder / f"{name}.npz"))

    def subjects(self) -> list[str]:
        """Return the npz files but the labels."""
        return [name for name in self._names if name != self._labels_path.stem]

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject's npz holds the story."""
        return subject in self._names and story in self._arrays(subject).files

    def texts(self, story: str) -> list[str]:
        """Return the words of each TR as one string, empty in a pause."""
        return self._stories[story]["texts"]

    def components(self, subject: str, story: str) -> tuple[str, np.ndarray]:
        """Return the path, for messages, and the responses (TRs, components)."""
        path = self._folder / f"{subject}.npz"
        return str(path), _read_array(path, self._arrays(subject), story)

    def labels(self, story: str) -> tuple[str, pd.DataFrame] | None:
        """Return the path and the labels, one column per question; None without labels."""
        if not self._labels_path.exists():
            return None
        arrays = self._arrays(self._labels_path.stem)
        values = _read_array(self._labels_path, arrays, story)
        questions = _read_array(self._labels_path, arrays, "questions").tolist()
        if values.ndim != 2 or values.shape[1] != len(questions):
            raise BadInput(
                f"{self._labels_path}: {story} is {values.shape}, expected (TRs, {len(questions)} questions)"
            )
        return str(self._labels_path), pd.DataFrame(values, columns=questions)


class _PublishedForm:
    """Pickled data frames, one per subject and story, in folders `train` and `test`. `splits` as in the other form."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = [p for split in _SPLITS for p in sorted(folder.glob(f"*/{split}/*.pkl")) if p.parts[-3] != "labels"]
        self._paths = {(path.parts[-3], path.stem): path for path in paths}
        self.splits = {path.stem: path.parent.name for path in paths}
        self._read = lru_cache(maxsize=4)(read_frame)  # texts and components of a story are in one file

    def subjects(self) -> list[str]:
        """Return the folders with stories."""
        return sorted({subject for subject, _ in self._paths})

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject has a file of the story."""
        return (subject, story) in self._paths

    def texts(self, story: str) -> list[str]:
        """Return the index of the story's frame, of the first subject that has it."""
        path = next(self._paths[key] for key in sorted(self._paths) if key[1] == story)
        texts = self._read(path).index.tolist()
        if not all(isinstance(text, str) for text in texts):
            raise BadInput(f"{path}: the index should be the words of each TR")
        return texts

    def components(self, subject: str, story: str) -> tuple[str, np.ndarray]:
        """Return path and columns PC0, PC1, .. of the subject's frame."""
        path = self._paths[subject, story]
        frame = self._read(path)
        columns = [column for column in frame.columns if str(column).startswith("PC")]
        if not columns:
            raise BadInput(f"{path} has no columns PC0, PC1, ..")
        return str(path), frame[columns].to_numpy(np.float32)

    def labels(self, story: str) -> tuple[str, pd.DataFrame] | None:
        """Return path and labels of the story, if there."""
        path = self._folder / "labels" / self.splits[story] / f"{story}_labels.pkl"
        return (str(path), self._read(path).reset_index(drop=True)) if path.exists() else None


def _read_texts(path: Path) -> dict[str, Any]:
    stories = read_json(path)
    if not isinstance(stories, dict):
        raise BadInput(f"{path} should hold {{story: {{split, texts}}}}")
    for story, entry in stories.items():
        if not isinstance(entry, dict) or entry.get("split") not in _SPLITS:
            raise BadInput(f"{path}: story {story} needs `split`, train or test")
        texts = entry.get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadInput(f"{path}: story {story} needs `texts`, the words of each TR as one string")
    return stories


def _open_npz(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"{path} can't be read as npz ({error}): cut off or damaged; fetch it again") from error


def _read_array(path: Path, arrays: Any, name: str) -> np.ndarray:
    try:
        return arrays[name]
    except KeyError as error:
        raise BadInput(f"{path} has no array `{name}`") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"{path}: array `{name}` can't be read ({error})") from error


class LebelPcs(Source):
    """A folder in either form."""

    def __init__(self, folder: Path, rules: LabelRules = NO_RULES) -> None:
        self.rules = rules
        if not folder.is_dir():
            raise BadInput(f"{folder} is not there; set dataset.path to the folder of lebel_pcs")
        self.folder = folder
        if (folder / "texts.json").exists():
            self._form: _RepackedForm | _PublishedForm = _RepackedForm(folder)
        elif any(folder.glob("*/*/*.pkl")):
            self._form = _PublishedForm(folder)
        else:
            raise BadInput(f"{folder} holds neither texts.json nor SUBJECT/train/STORY.pkl: no form of lebel_pcs")

    def stories(self) -> list[str]:
        """Return all stories."""
        return sorted(self._form.splits)

    def held_out(self) -> frozenset[str]:
        """Return the stories that the publishers held out for testing."""
        return frozenset(story for story, split in self._form.splits.items() if split == "test")

    def subjects(self) -> list[str]:
        """Return the subjects with a file or folder."""
        return self._form.subjects()

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject's responses to the story are there."""
        return self._form.has(subject, story)

    def texts(self, story: str) -> list[str]:
        """Return the words of each TR as one string."""
        return self._form.texts(story)

    def timing(self, story: str) -> Timing:
        """Return one row per TR of the story's texts, the first around 1 s."""
        return Timing(len(self.texts(story)), TR_S, TR_S / 2)

    def words(self, story: str) -> pd.DataFrame:
        """Return the words of all TRs, spread evenly over their TR."""
        words = _spread_words(self.texts(story), self.rules)
        if words.empty:
            raise BadInput(f"{self.folder}: story {story} has no words; leave it out")
        return words

    @contextmanager
    def responses(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield the components as `data`; there are no repeats."""
        where, data = self._form.components(subject, story)
        responses = Responses(data, None, f"{where}, story {story}")
        check_arrays(responses)
        self._check_rows(where, story, len(data))
        yield responses

    def published(self, story: str) -> dict[str, pd.DataFrame]:
        """Return GPT-4's answers, one column per question, where the folder has them."""
        labels = self._form.labels(story)
        if labels is None:
            return {}
        where, table = labels
        self._check_rows(where, story, len(table))
        if not table.columns.is_unique:
            raise BadInput(f"{where}: the question `{table.columns[table.columns.duplicated()][0]}` is there twice")
        return {PUBLISHED_NAME: table.astype(np.float32)}

    def _check_rows(self, where: str, story: str, n_rows: int) -> None:
        expected = len(self.texts(story))
        if n_rows != expected:
            raise BadInput(f"{where}: {story} has {n_rows} rows, expected {expected} (the TRs of its texts)")


def _spread_words(texts: list[str], rules: LabelRules = NO_RULES) -> pd.DataFrame:
    """Return word, onset_s, offset_s of the words of each TR (`texts`, TR j at [2 j, 2 j + 2) s), spread evenly.

    >>> _spread_words(["", "so we"])["onset_s"].tolist()
    [2.0, 3.0]
    """
    rows: list[tuple[Any, ...]] = []
    for tr, text in enumerate(texts):
        words = [word for label in text.split() if (word := clean_word(label, rules))]
        width = TR_S / max(len(words), 1)
        rows += [(word, TR_S * tr + width * i, TR_S * tr + width * (i + 1)) for i, word in enumerate(words)]
    return pd.DataFrame(rows, columns=["word", "onset_s", "offset_s"])


def _checks(folder: Path, rules: LabelRules = NO_RULES) -> list[Check]:
    """Return the checks of all stories, responses and labels; BadInput if the folder can't be opened."""
    source, compared = LebelPcs(folder, rules), Compared()
    checks = [Check(f"texts of {story}", partial(_check_story, source, story)) for story in source.stories()]
    for subject in source.subjects():
        checks.append(Check(subject, partial(_check_subject, source, subject)))
        for story in source.stories():
            place = f"{subject}, {story}"
            recorded = Recorded(subject, place, partial(source.responses, subject, story))
            checks.append(Check(place, partial(_check_responses, source, recorded, story, compared)))
    return checks


def _check_story(source: LebelPcs, story: str) -> Iterator[Problem]:
    timing = source.timing(story)
    yield from check_words(_spread_words(source.texts(story), source.rules), timing)
    labels = source.published(story)
    if not labels:
        yield "WARNING", "no labels"
    for table in labels.values():
        unused = int((table.nunique() < 2).sum())
        if unused > table.shape[1] / 2:
            yield "WARNING", f"{unused} of {table.shape[1]} labels are the same in all TRs"


def _check_subject(source: LebelPcs, subject: str) -> Iterator[Problem]:
    heard = [story for story in source.stories() if source.has(subject, story)]
    yield from check_stories(source.stories(), heard)
    yield "OK", f"{len(heard)} stories"


def _check_responses(source: LebelPcs, recorded: Recorded, story: str, compared: Compared) -> Iterator[Problem]:
    if unless_bad(partial(source.has, recorded.subject, story)):
        yield from check_responses(recorded, compared)


ADAPTER = Adapter(
    LebelPcs,
    _checks,
    mark="texts.json or SUBJECT/train/STORY.pkl",
    patterns=("texts.json", "*/*/*.pkl"),
    has_rules=True,
)
