"""lebel_pcs: responses to stories as principal components per TR, words per TR, GPT-4's answers per TR.

The same data in two forms, told apart by what the folder holds:

- repacked: `texts.json` ({story: {split, texts per TR}}), `SUBJECT.npz` (per story (TRs, components)) and
  `gpt4_labels.npz` (`questions`, and per story (TRs, questions));
- published (github.com/csinva/fmri, `data/decoding`): pickled data frames `SUBJECT/{train,test}/STORY.pkl` (columns
  PC0.., index = the words of each TR) and `labels/{train,test}/STORY_labels.pkl` (one column per question).

TR j covers [2 j, 2 j + 2) seconds. There are no word onsets: the words of a TR are spread evenly over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from qaemb.datasets.arrays import check_arrays
from qaemb.datasets.labels import clean_word
from qaemb.datasets.lebel_pcs_forms import PublishedForm, RepackedForm
from qaemb.datasets.source import Responses, Timing, WordsAndResponses
from qaemb.errors import BadInput

TR_S = 2.0
PUBLISHED_NAME = "gpt4"


class Form(Protocol):
    """How the files of one of the two forms are read; errors name the file."""

    splits: dict[str, str]
    """Story to "train" or "test"."""

    def __init__(self, folder: Path) -> None:
        """Open the folder."""

    def subjects(self) -> list[str]:
        """Return the names of the subjects."""

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject heard the story."""

    def texts(self, story: str) -> list[str]:
        """Return the words of each TR as one string, empty in a pause."""

    def components(self, subject: str, story: str) -> tuple[str, np.ndarray]:
        """Return where the responses came from, for messages, and the responses (TRs, components)."""

    def labels(self, story: str) -> tuple[str, pd.DataFrame] | None:
        """Return where the labels came from and the labels, one column per question; None without labels."""


class LebelPcs(WordsAndResponses):
    """A folder in either form."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is not there; set dataset.path to the folder of lebel_pcs")
        self.folder = folder
        if (folder / "texts.json").exists():
            self._form: Form = RepackedForm(folder)
        elif any(folder.glob("*/*/*.pkl")):
            self._form = PublishedForm(folder)
        else:
            raise BadInput(f"{folder} holds neither texts.json nor SUBJECT/train/STORY.pkl: no form of lebel_pcs")

    def stories(self) -> list[str]:
        """Return all stories."""
        return sorted(self._form.splits)

    def held_out(self) -> frozenset[str]:
        """Return the stories that the publishers kept for testing."""
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
        words = spread_words(self.texts(story))
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

    def _check_rows(self, where: str, story: str, found: int) -> None:
        expected = len(self.texts(story))
        if found != expected:
            raise BadInput(f"{where}: {story} has {found} rows, expected {expected} (the TRs of its texts)")


def spread_words(texts: list[str]) -> pd.DataFrame:
    """Return word, onset_s, offset_s of the words of each TR (`texts`, TR j at [2 j, 2 j + 2) s), spread evenly.

    >>> spread_words(["", "so we"])["onset_s"].tolist()
    [2.0, 3.0]
    """
    rows: list[tuple[Any, ...]] = []
    for tr, text in enumerate(texts):
        words = [word for word in map(clean_word, text.split()) if word]
        width = TR_S / max(len(words), 1)
        rows += [(word, TR_S * tr + width * i, TR_S * tr + width * (i + 1)) for i, word in enumerate(words)]
    return pd.DataFrame(rows, columns=["word", "onset_s", "offset_s"])
