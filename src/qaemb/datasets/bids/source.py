"""The source `bids`: stories are tasks or runs, their responses fMRIPrep's outputs, their words the events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.datasets.bids.events import read_events, require_same
from qaemb.datasets.bids.images import (
    Array,
    clean,
    common_mask,
    first_row_time,
    n_volumes,
    read_confounds,
    read_surfaces,
    read_volumes,
    repetition_time,
)
from qaemb.datasets.bids.index import BidsIndex, Run
from qaemb.datasets.source import Responses, Timing, WordsAndResponses
from qaemb.datasets.voxels import N_VERTICES
from qaemb.errors import BadInput
from qaemb.settings import BidsSettings

_SAME_S = 1e-3


class BidsSource(WordsAndResponses):
    """A BIDS folder with fMRIPrep's outputs. Time 0 is the start of a run's first scan, as in its events.

    Several runs of a story by one subject are repeats: `data` is their mean, `repeats` are the runs.
    """

    def __init__(self, folder: Path, settings: BidsSettings) -> None:
        self.index, self.settings = BidsIndex(folder, settings), settings
        self.timing = lru_cache(maxsize=None)(self._timing)
        self._mask = lru_cache(maxsize=1)(self._mask_of)

    def stories(self) -> list[str]:
        """Return the stories of all runs."""
        return sorted({story for _, story in self.index.runs})

    def subjects(self) -> list[str]:
        """Return the subjects with a run, as in `sub-01`."""
        return sorted({subject for subject, _ in self.index.runs})

    def has(self, subject: str, story: str) -> bool:
        """Return whether there is a run of the subject and the story."""
        return (subject, story) in self.index.runs

    def words(self, story: str) -> pd.DataFrame:
        """Return the words of the story's events, which must be the same in all its runs."""
        paths = list(dict.fromkeys(self.index.events(run) for run in self.runs(story)))
        words = read_events(paths[0], self.settings)
        for path in paths[1:]:
            other = read_events(path, self.settings)
            require_same(paths[0], words, path, other, self.settings.onset_tolerance_s)
        return words

    @contextmanager
    def responses(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield the cleaned responses of the subject's runs of the story."""
        runs = self.index.runs[subject, story]
        cleaned = [self._read(run) for run in runs]
        repeats = np.stack(cleaned) if len(cleaned) > 1 else None
        data = cleaned[0] if repeats is None else repeats.mean(axis=0)
        yield Responses(data, repeats, str(runs[0].images[0]))

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return the vertices of fsaverage5 in the order of the responses; None for any other space."""
        if next(iter(self.index.runs.values()))[0].space != "fsaverage5":
            return None
        sides, vertices = np.repeat(["left", "right"], N_VERTICES), np.tile(np.arange(N_VERTICES), 2)
        return pd.DataFrame({"voxel": np.arange(2 * N_VERTICES), "hemi": sides, "vertex": vertices, "region": ""})

    def runs(self, story: str) -> list[Run]:
        """Return all runs of a story, by subject."""
        return [run for (_, of), runs in self.index.runs.items() if of == story for run in runs]

    def _timing(self, story: str) -> Timing:
        """Return where the response rows stand: as many as the story's shortest run has.

        BadInput if the runs differ in TR, or in length by more than `length_tolerance`.
        """
        runs = self.runs(story)
        counts = [n_volumes(run) for run in runs]
        shortest, longest = runs[int(np.argmin(counts))], runs[int(np.argmax(counts))]
        if max(counts) - min(counts) > self.settings.length_tolerance:
            raise BadInput(
                f"{shortest.images[0]} has {min(counts)} volumes, {longest.images[0].name} {max(counts)}; exclude one "
                "(dataset.bids.exclude) or raise dataset.bids.length_tolerance, and all are cut to the shortest"
            )
        tr_s = repetition_time(runs[0], self.index)
        for run in runs[1:]:
            if abs(repetition_time(run, self.index) - tr_s) > _SAME_S:
                raise BadInput(f"{run.images[0]} and {runs[0].images[0].name} differ in TR; exclude one of them")
        before, after = self.settings.trim
        n_trs = min(counts) - before - after
        if n_trs < 2:
            raise BadInput(f"{shortest.images[0]} has {min(counts)} volumes, too few for dataset.bids.trim")
        return Timing(n_trs, tr_s, first_row_time(runs[0], self.index, tr_s) + before * tr_s)

    def _read(self, run: Run) -> Array:
        timing, before = self.timing(run.story), self.settings.trim[0]
        rows = slice(before, before + timing.n_trs)
        values = read_surfaces(run, rows) if run.is_surface else read_volumes(run, self._mask(run.subject), rows)
        return clean(values, read_confounds(run, self.index, rows), timing.tr_s, self.settings)

    def _mask_of(self, subject: str) -> Any:
        """Return the mask of a subject, one for all stories so that voxels are the same."""
        return common_mask(
            [run for (of, _), runs in self.index.runs.items() if of == subject for run in runs], self.index
        )
