"""ds003020 (LeBel et al.): TextGrids, respdict.json and one hf5 of responses per subject and story.

A run has n scans (respdict.json), TR 2.0 s; the sound starts at 10 s. The published responses lack the first and last
ten scans, so n - 20 rows remain, and the middle of row j is at 11 + 2 j seconds of the sound.
`derivative/gold/` and `derivative/voxels/` are extensions of the data set `miniature`; the original has neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.datasets.arrays import check_rows, open_responses
from qaemb.datasets.csv_files import FIRST_ROW, read_csv, read_numbers
from qaemb.datasets.source import Responses, Timing
from qaemb.datasets.textgrid import read_words
from qaemb.datasets.voxels import read_voxels
from qaemb.errors import BadInput
from qaemb.files import read_json

TR_S = 2.0
SOUND_START_S = 10.0
"""Seconds from the first scan to the sound."""

FIRST_TR_S = 11.0
N_TRIMMED = 20
"""Scans of a run that have no row: ten before and ten after."""

_SENTENCE_COLUMNS = ["story", "index", "first_word", "last_word", "text"]


class Ds003020:
    """A folder with `derivative/`, as ds003020 has it, of any number of stories and subjects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "derivative"
        if not self.folder.is_dir():
            raise BadInput(f"{folder} holds no folder `derivative`; set dataset.path to a folder in ds003020's layout")
        path = self.folder / "respdict.json"
        if not path.exists():
            raise BadInput(f"{path} does not exist; fetch it: it says how many scans each story has")
        self._scans = read_json(path)
        if not isinstance(self._scans, dict) or not all(type(n) is int for n in self._scans.values()):
            raise BadInput(f"{path} should hold the number of scans of each story: {{story: n}}")

    def stories(self) -> list[str]:
        """Return the stories of respdict.json."""
        return sorted(self._scans)

    def held_out(self) -> frozenset[str]:
        """Return nothing: ds003020 names no test stories."""
        return frozenset()

    def subjects(self) -> list[str]:
        """Return the folders under preprocessed_data."""
        return sorted(path.name for path in (self.folder / "preprocessed_data").glob("*") if path.is_dir())

    def has(self, subject: str, story: str) -> bool:
        """Return whether the hf5 is there (the link of a file that was never fetched does not count)."""
        return self._responses_path(subject, story).exists()

    def timing(self, story: str) -> Timing:
        """Return n - 20 rows of 2 s from 11 s on; BadInput if the story has fewer than two."""
        n_trs = self._scans[story] - N_TRIMMED
        if n_trs < 2:
            raise BadInput(
                f"{self.folder / 'respdict.json'}: {story} has {self._scans[story]} scans, at least 22 needed"
            )
        return Timing(n_trs, TR_S, FIRST_TR_S)

    def words(self, story: str) -> pd.DataFrame:
        """Return the words of the story's TextGrid."""
        return read_words(self.folder / "TextGrids" / f"{story}.TextGrid")

    @contextmanager
    def responses(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield the open hf5 of the subject's responses."""
        with open_responses(self._responses_path(subject, story)) as responses:
            check_rows(responses, self.timing(story).n_trs, f"the story's number in respdict.json less {N_TRIMMED}")
            yield responses

    def sentences(self, story: str) -> pd.DataFrame | None:
        """Return the sentences of gold/sentences.csv."""
        own = self._gold_of(story)
        return None if own is None else own[_SENTENCE_COLUMNS[1:]]

    def gold_properties(self) -> pd.DataFrame | None:
        """Return gold/properties.csv."""
        path = self.folder / "gold" / "properties.csv"
        return read_csv(path, ["property", "question"]) if path.exists() else None

    def gold(self, story: str) -> pd.DataFrame | None:
        """Return the 0/1 columns of gold/sentences.csv as bool."""
        own, properties = self._gold_of(story), self.gold_properties()
        if own is None or properties is None:
            return None
        return own[["index", *properties["property"]]]

    def published(self, story: str) -> dict[str, pd.DataFrame]:
        """Return nothing: ds003020 publishes no features per TR."""
        return {}

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return voxels/SUBJECT.csv."""
        path = self.folder / "voxels" / f"{subject}.csv"
        return read_voxels(path) if path.exists() else None

    def _responses_path(self, subject: str, story: str) -> Path:
        return self.folder / "preprocessed_data" / subject / f"{story}.hf5"

    @cached_property
    def _gold_table(self) -> pd.DataFrame | None:
        path, properties = self.folder / "gold" / "sentences.csv", self.gold_properties()
        if not path.exists():
            return None
        names = [] if properties is None else properties["property"].tolist()
        table = read_csv(path, _SENTENCE_COLUMNS + names)
        wrong = table.index[~table[names].isin(["0", "1"]).all(axis=1)]
        if len(wrong):
            raise BadInput(f"{path}, row {FIRST_ROW + wrong[0]}: gold answers are 0 or 1")
        for column in ("index", "first_word", "last_word"):
            table[column] = read_numbers(path, table, column).astype(np.int32)
        return table.assign(**{name: table[name] == "1" for name in names})

    def _gold_of(self, story: str) -> pd.DataFrame | None:
        if self._gold_table is None or not (self._gold_table["story"] == story).any():
            return None
        return self._gold_table[self._gold_table["story"] == story].reset_index(drop=True)
