"""The source `bids`: stories are tasks or runs, their responses fMRIPrep's outputs, their words the events.

The checks of a BIDS folder with fMRIPrep's outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.datasets.bids.images import (
    Array,
    clean,
    common_mask,
    count_inside,
    first_row_time,
    header_tr,
    n_volumes,
    read_confounds,
    read_events,
    read_events_table,
    read_surfaces,
    read_volumes,
    repetition_time,
    require_same,
)
from qaemb.datasets.bids.index import BidsIndex, Run
from qaemb.datasets.doctor.arrays import Compared, Recorded, check_responses
from qaemb.datasets.doctor.findings import Check, Problem, listed
from qaemb.datasets.doctor.transcripts import check_table
from qaemb.datasets.source import N_VERTICES, Responses, Timing, WordsAndResponses
from qaemb.datasets.words import NO_RULES, LabelRules
from qaemb.errors import BadInput
from qaemb.settings import BidsSettings

_SAME_S = 1e-3


class BidsSource(WordsAndResponses):
    """A BIDS folder with fMRIPrep's outputs. Time 0 is the start of a run's first scan, as in its events.

    Several runs of a story by one subject are repeats: `data` is their mean, `repeats` are the runs.
    """

    def __init__(self, folder: Path, settings: BidsSettings, rules: LabelRules = NO_RULES) -> None:
        self.index, self.settings, self.rules = BidsIndex(folder, settings), settings, rules
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
        words = read_events(paths[0], self.settings, self.rules)
        for path in paths[1:]:
            other = read_events(path, self.settings, self.rules)
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


_SAME_TR_S = 1e-3


def bids_checks(folder: Path, settings: BidsSettings, rules: LabelRules = NO_RULES) -> list[Check]:
    """Return the checks of events, images, confounds and masks; BadInput if no runs can be told from the names."""
    source, compared = BidsSource(folder, settings, rules), Compared()
    index = source.index
    checks = []
    lost = [path for path in index.image_paths if not path.exists()]
    if lost:
        names = listed(path.name for path in lost)
        checks.append(
            Check("images", lambda: [("WARNING", f"{len(lost)} were never fetched and count as missing: {names}")])
        )
    runs = [run for own in index.runs.values() for run in own]
    for path, run in {_events(index, run): run for run in runs}.items():
        place = "events" if path is None else _place(folder, path)
        checks.append(Check(place, partial(_check_events, source, run)))
    for run in runs:
        checks.append(Check(_place(folder, run.images[0]), partial(_check_run, source, run)))
    checks += [Check(f"story {story}", partial(_check_story, source, story)) for story in source.stories()]
    for subject in source.subjects():
        checks.append(Check(subject, partial(_check_subject, source, subject)))
        for story in filter(partial(source.has, subject), source.stories()):
            place = f"{subject}, {story}"
            recorded = Recorded(subject, place, partial(source.responses, subject, story))
            checks.append(Check(place, partial(check_responses, recorded, compared)))
    return checks


def _events(index: BidsIndex, run: Run) -> Path | None:
    try:
        return index.events(run)
    except BadInput:
        return None


def _check_events(source: BidsSource, run: Run) -> Iterator[Problem]:
    events = read_events_table(source.index.events(run), source.settings, source.rules)
    yield from check_table(events, _timing(source, run.story))


def _timing(source: BidsSource, story: str) -> Timing | None:
    try:
        return source.timing(story)
    except BadInput:  # the story has a check of its own
        return None


def _check_run(source: BidsSource, run: Run) -> Iterator[Problem]:
    volumes = n_volumes(run)
    timing = _timing(source, run.story)
    if timing is not None and not run.is_surface:
        header = header_tr(run)
        if header > 0 and abs(header - timing.tr_s) > _SAME_TR_S:
            yield "WARNING", f"its header states a TR of {header:g} s, its .json {timing.tr_s:g} s, which is taken"
    if not run.is_surface and source.settings.mask is None and not count_inside(source.index.mask(run)):
        yield "ERROR", "its mask is empty"
    read_confounds(run, source.index, slice(0, volumes))
    if timing is not None:
        spare = volumes - sum(source.settings.trim) - timing.n_trs
        if spare:
            yield "WARNING", f"its last {spare} volumes are cut: the story's shortest run ends there"
    yield "OK", f"{volumes} volumes"


def _check_story(source: BidsSource, story: str) -> Iterator[Problem]:
    source.words(story)
    timing = source.timing(story)
    yield "OK", f"{timing.n_trs} rows of {timing.tr_s:g} s from {timing.first_tr_s:g} s, {len(source.runs(story))} runs"


def _check_subject(source: BidsSource, subject: str) -> Iterator[Problem]:
    missing = [story for story in source.stories() if not source.has(subject, story)]
    if missing:
        yield "WARNING", f"lacks {len(missing)} of {len(source.stories())} stories: {listed(missing)}"
    yield "OK", f"{len(source.stories()) - len(missing)} stories"


def _place(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
