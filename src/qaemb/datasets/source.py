"""What a data set is to this room: a source of words and responses, the adapter that opens it, places of voxels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qaemb.rows import read_csv, read_numbers, refuse_rows
from qaemb.settings.base import Section

if TYPE_CHECKING:  # the checks look at sources
    from qaemb.datasets.doctor import Check


@dataclass(frozen=True)
class Timing:
    """The response rows of a story: row j is the TR whose middle is at `first_tr_s + j * tr_s` of the sound."""

    n_trs: int
    tr_s: float
    first_tr_s: float


@dataclass(frozen=True)
class Responses:
    """Responses of one subject to one story, not yet read: anything with a shape that gives arrays when sliced.

    `data` is (n_trs, voxels), `repeats` (repeats, n_trs, voxels) or None. NaN marks a voxel without data. `where` names
    the file in messages.
    """

    data: Any
    repeats: Any | None
    where: str


class Source(ABC):
    """A folder with stories and responses, read story by story; the stage `dataset` turns it into its tables.

    An adapter says where words and responses are, and overrides what else it has. Everything that is wrong with a file
    raises BadInput with the file's name.
    """

    @abstractmethod
    def stories(self) -> list[str]:
        """Return the names of all stories, sorted."""

    @abstractmethod
    def subjects(self) -> list[str]:
        """Return the names of all subjects, sorted."""

    @abstractmethod
    def has(self, subject: str, story: str) -> bool:
        """Return whether there are responses of this subject to this story."""

    @abstractmethod
    def timing(self, story: str) -> Timing:
        """Return where the response rows stand."""

    @abstractmethod
    def words(self, story: str) -> pd.DataFrame:
        """Return the words in order: word, onset_s, offset_s (seconds of the sound); at least one.

        Where there are any, `attrs["marks"]` counts labels that are no words, `attrs["notes"]` lists warnings.
        """

    @abstractmethod
    def responses(self, subject: str, story: str) -> AbstractContextManager[Responses]:
        """Return a context that gives the responses; their rows are checked against `timing`."""

    def held_out(self) -> frozenset[str]:
        """Return the stories that the source itself keeps for testing; they are never trained on unless listed."""
        return frozenset()

    def sentences(self, story: str) -> pd.DataFrame | None:
        """Return the transcript's sentences (index, first_word, last_word, text), or None without a transcript."""
        return None

    def gold_properties(self) -> pd.DataFrame | None:
        """Return what sentences are annotated for (property, question), or None without gold answers."""
        return None

    def gold(self, story: str) -> pd.DataFrame | None:
        """Return the gold answers: index of the sentence and one bool column per property, or None."""
        return None

    def published(self, story: str) -> dict[str, pd.DataFrame]:
        """Return published features by name: one row per response row, one float32 column per feature."""
        return {}

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return where voxels lie (voxel, hemi, vertex, region), or None where the source does not say."""
        return None


@dataclass(frozen=True)
class Adapter:
    """One kind of data set, as `datasets.registry` lists it: how its folders are recognised, opened and checked.

    `patterns` are globs: a folder in which one of them matches is of this kind; `mark` names them in messages.
    `settings` is the model of the adapter's own section of params.yaml (`dataset.NAME`, with a default for each key),
    None where it has none. `open` and `checks` get the folder, and these settings where there are any. With `has_rules`
    they take a keyword `rules`, too: the `LabelRules` of the user, which say what is a word.
    """

    open: Callable[..., Source]
    checks: Callable[..., list[Check]]
    mark: str
    patterns: tuple[str, ...]
    settings: type[Section] | None = None
    has_rules: bool = False


N_VERTICES = 10_242
"""Vertices of a hemisphere of fsaverage5."""


def read_voxels(path: Path) -> pd.DataFrame:
    """Return voxel (its column in the responses), hemi, vertex and region ("" if not there), and subject if there.

    BadInput names the file and the row of an unknown hemisphere, a vertex that fsaverage5 does not have, or a voxel
    that is there twice.
    """
    table = read_csv(path, ["voxel", "hemi", "vertex"])
    for column in ("voxel", "vertex"):
        table[column] = read_numbers(path, table, column).astype(np.int32)
    if "region" not in table.columns:
        table["region"] = ""
    keys = [column for column in ("subject", "voxel") if column in table.columns]
    wrong_rows = {
        "`hemi` is left or right": ~table["hemi"].isin(["left", "right"]),
        f"`vertex` is 0 to {N_VERTICES - 1}, of fsaverage5": ~table["vertex"].between(0, N_VERTICES - 1),
        "`voxel` is a column of the responses, from 0": table["voxel"] < 0,
        "the voxel is there twice": table.duplicated(keys),
    }
    refuse_rows(path, wrong_rows)
    return table
