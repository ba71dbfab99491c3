"""The protocol of a source: a folder on disk, read story by story, that the stage `dataset` turns into its tables.

Tables that say where on fsaverage5 voxels lie.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from qaemb.errors import BadInput
from qaemb.rows import FIRST_ROW, read_csv, read_numbers


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


class Source(Protocol):
    """What every adapter offers. Everything that is wrong with a file raises BadInput with the file's name."""

    def stories(self) -> list[str]:
        """Return the names of all stories, sorted."""

    def held_out(self) -> frozenset[str]:
        """Return the stories that the source itself keeps for testing; they are never trained on unless listed."""

    def subjects(self) -> list[str]:
        """Return the names of all subjects, sorted."""

    def has(self, subject: str, story: str) -> bool:
        """Return whether there are responses of this subject to this story."""

    def timing(self, story: str) -> Timing:
        """Return where the response rows stand."""

    def words(self, story: str) -> pd.DataFrame:
        """Return the words in order: word, onset_s, offset_s (seconds of the sound); at least one.

        Where there are any, `attrs["marks"]` counts labels that are no words, `attrs["notes"]` lists warnings.
        """

    def responses(self, subject: str, story: str) -> AbstractContextManager[Responses]:
        """Return a context that gives the responses; rows are checked against `timing`."""

    def sentences(self, story: str) -> pd.DataFrame | None:
        """Return the transcript's sentences (index, first_word, last_word, text), or None without a transcript."""

    def gold_properties(self) -> pd.DataFrame | None:
        """Return what sentences are annotated for (property, question), or None without gold answers."""

    def gold(self, story: str) -> pd.DataFrame | None:
        """Return the gold answers: index of the sentence and one bool column per property, or None."""

    def published(self, story: str) -> dict[str, pd.DataFrame]:
        """Return published features by name: one row per response row, one float32 column per feature."""

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return where voxels lie (voxel, hemi, vertex, region), or None where that is not known."""


class WordsAndResponses:
    """What a source answers that has nothing but words and responses; adapters override what they have."""

    def held_out(self) -> frozenset[str]:
        """Return nothing: no story is kept for testing."""
        return frozenset()

    def sentences(self, story: str) -> pd.DataFrame | None:
        """Return None: there is no transcript."""
        return None

    def gold_properties(self) -> pd.DataFrame | None:
        """Return None: there are no gold answers."""
        return None

    def gold(self, story: str) -> pd.DataFrame | None:
        """Return None: there are no gold answers."""
        return None

    def published(self, story: str) -> dict[str, pd.DataFrame]:
        """Return nothing: there are no published features."""
        return {}

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return None: it is not known where voxels lie."""
        return None


N_VERTICES = 10_242
"""Vertices of a hemisphere of fsaverage5."""


def read_voxels(path: Path) -> pd.DataFrame:
    """Return voxel (its column in the responses), hemi, vertex and region ("" if not given), and subject if given.

    BadInput names the file and the row of an unknown hemisphere, a vertex that fsaverage5 does not have, or a voxel
    that is there twice.
    """
    table = read_csv(path, ["voxel", "hemi", "vertex"])
    for column in ("voxel", "vertex"):
        table[column] = read_numbers(path, table, column).astype(np.int32)
    if "region" not in table.columns:
        table["region"] = ""
    keys = [column for column in ("subject", "voxel") if column in table.columns]
    wrong = {
        "`hemi` is left or right": ~table["hemi"].isin(["left", "right"]),
        f"`vertex` is 0 to {N_VERTICES - 1}, of fsaverage5": ~table["vertex"].between(0, N_VERTICES - 1),
        "`voxel` is a column of the responses, from 0": table["voxel"] < 0,
        "the voxel is there twice": table.duplicated(keys),
    }
    for message, rows in wrong.items():
        if rows.any():
            raise BadInput(f"{path}, row {FIRST_ROW + int(np.argmax(rows))}: {message}")
    return table
