"""The source `bids`: stories are tasks or runs, their responses fMRIPrep's outputs, their words the events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.datasets.bids.images import (
    Array,
    clean,
    common_mask,
    count_inside,
    header_tr,
    n_volumes,
    read_surfaces,
    read_volumes,
)
from qaemb.datasets.bids.index import BidsIndex, BidsSettings, Run
from qaemb.datasets.doctor import (
    Check,
    Compared,
    Problem,
    Recorded,
    check_responses,
    check_stories,
    check_table,
    unless_bad,
)
from qaemb.datasets.source import N_VERTICES, Adapter, Responses, Source, Timing
from qaemb.datasets.words import NO_RULES, LabelRules, require_usable, spoken_words
from qaemb.errors import BadInput, listed
from qaemb.rows import read_csv, read_numbers

_SAME_S = 1e-3


class BidsSource(Source):
    """A BIDS folder with fMRIPrep's outputs. Time 0 is the start of a run's first scan, as in its events.

    Several runs of a story by one subject are repeats: `data` is their mean, `repeats` are the runs.
    """

    def __init__(self, folder: Path, settings: BidsSettings, rules: LabelRules = NO_RULES) -> None:
        self.index, self.settings, self.rules = BidsIndex(folder, settings), settings, rules
        self._timing = lru_cache(maxsize=None)(self._timing_of)
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
        words = _read_events(paths[0], self.settings, self.rules)
        for path in paths[1:]:
            other = _read_events(path, self.settings, self.rules)
            _require_same(paths[0], words, path, other, self.settings.onset_tolerance_s)
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
        return [run for (_, name), runs in self.index.runs.items() if name == story for run in runs]

    def timing(self, story: str) -> Timing:
        """Return where the response rows stand, read once a story; errors as in `_timing_of`."""
        return self._timing(story)

    def _timing_of(self, story: str) -> Timing:
        """Return where the response rows stand: as many as the story's shortest run has, without what is trimmed.

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
        tr_s = _repetition_time(runs[0], self.index)
        for run in runs[1:]:
            if abs(_repetition_time(run, self.index) - tr_s) > _SAME_S:
                raise BadInput(f"{run.images[0]} and {runs[0].images[0].name} differ in TR; exclude one of them")
        before, after = self.settings.trim
        n_trs = min(counts) - before - after
        if n_trs < 2:
            raise BadInput(f"{shortest.images[0]} has {min(counts)} volumes, too few for dataset.bids.trim")
        return Timing(n_trs, tr_s, _first_row_time(runs[0], self.index, tr_s) + before * tr_s)

    def _read(self, run: Run) -> Array:
        timing, before = self.timing(run.story), self.settings.trim[0]
        rows = slice(before, before + timing.n_trs)
        values = read_surfaces(run, rows) if run.is_surface else read_volumes(run, self._mask(run.subject), rows)
        return clean(values, _read_confounds(run, self.index, rows), timing.tr_s, self.settings)

    def _mask_of(self, subject: str) -> Any:
        """Return the mask of a subject, one for all stories so that voxels are the same."""
        return common_mask(
            [run for (name, _), runs in self.index.runs.items() if name == subject for run in runs], self.index
        )


def _read_events(path: Path, settings: BidsSettings, rules: LabelRules = NO_RULES) -> pd.DataFrame:
    """Return word (lower case), onset_s and offset_s, in seconds from the start of the run's first scan.

    A word is an event with something else than `n/a` in `word_column` and, where some event has the trial_type of the
    settings, with that trial_type. Noise marks are left out. The index counts the rows of the file. BadInput names file
    and row.
    """
    words = _events_table(path, settings, rules)
    require_usable(path, words)
    return words


def _events_table(path: Path, settings: BidsSettings, rules: LabelRules) -> pd.DataFrame:
    """Return the words as `_read_events` does, whatever their order; BadInput names a row without times."""
    column = settings.word_column
    table = read_csv(path, ["onset", "duration"], separator="\t")
    if column not in table.columns:
        raise BadInput(
            f"{path} has no column `{column}` for the words; set dataset.bids.word_column to one of: "
            f"{', '.join(table.columns)}"
        )
    is_word = ~table[column].isin(["", "n/a"])
    if column != "trial_type" and "trial_type" in table.columns:
        of_type = table["trial_type"] == settings.trial_type
        is_word &= of_type | (not of_type.any())
    table = table[is_word]
    onset = read_numbers(path, table, "onset")
    words = pd.DataFrame({"word": table[column], "onset_s": onset})
    words["offset_s"] = onset + read_numbers(path, table, "duration")
    return spoken_words(words, rules)


def _require_same(path: Path, words: pd.DataFrame, other_path: Path, other: pd.DataFrame, tolerance_s: float) -> None:
    """Raise BadInput unless two runs of a story have the same words at the same times, within the tolerance."""
    if words["word"].tolist() != other["word"].tolist():
        raise BadInput(
            f"{path} and {other_path} are of one story but have different words; if they are different stories, set "
            "dataset.bids.story: run, or exclude one of the runs"
        )
    apart = np.abs(words["onset_s"].to_numpy() - other["onset_s"].to_numpy()).max()
    if apart > tolerance_s:
        raise BadInput(
            f"{path} and {other_path} are of one story but have onsets up to {apart:.3g} s apart, more than "
            f"dataset.bids.onset_tolerance_s ({tolerance_s:g}); cut the runs so that the story starts at the same scan"
        )


def _repetition_time(run: Run, index: BidsIndex) -> float:
    """Return the TR in seconds: RepetitionTime of the JSON files of the run, else of the NIfTI's header."""
    value = index.described(run, "RepetitionTime") or (0.0 if run.is_surface else header_tr(run))
    if value <= 0:
        raise BadInput(f"{run.images[0]}: no RepetitionTime in its .json nor in the raw run's; add one, in seconds")
    return value


def _first_row_time(run: Run, index: BidsIndex, tr_s: float) -> float:
    """Return the time of the first volume: StartTime of its .json, which fMRIPrep writes, else the middle of the TR."""
    start = index.described(run, "StartTime")
    return tr_s / 2 if start is None else start


def _read_confounds(run: Run, index: BidsIndex, rows: slice) -> NDArray[np.float64] | None:
    """Return the confounds (volumes, columns) of the settings, None without any; `n/a`, as in a derivative, is 0."""
    columns = index.settings.confounds
    if not columns:
        return None
    path = index.confounds(run)
    table = read_csv(path, columns, separator="\t")
    if len(table) < rows.stop:
        raise BadInput(f"{path} has {len(table)} rows, the run {rows.stop} volumes or more")
    table = table.replace("n/a", "0")
    return np.stack([read_numbers(path, table, column) for column in columns], axis=1)[rows]


def _checks(folder: Path, settings: BidsSettings, rules: LabelRules = NO_RULES) -> list[Check]:
    """Return the checks of events, images, confounds and masks; BadInput if the names show no runs."""
    source, compared = BidsSource(folder, settings, rules), Compared()
    index = source.index
    checks = []
    lost = [path for path in index.image_paths if not path.exists()]
    if lost:
        names = listed(path.name for path in lost)
        checks.append(
            Check("images", lambda: [("WARNING", f"{len(lost)} were never fetched and count as missing: {names}")])
        )
    runs = [run for of_story in index.runs.values() for run in of_story]
    for path, run in {unless_bad(partial(index.events, run)): run for run in runs}.items():
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


def _check_events(source: BidsSource, run: Run) -> Iterator[Problem]:
    timing = unless_bad(partial(source.timing, run.story))
    events = _events_table(source.index.events(run), source.settings, source.rules)
    yield from check_table(events, timing)


def _check_run(source: BidsSource, run: Run) -> Iterator[Problem]:
    volumes = n_volumes(run)
    timing = unless_bad(partial(source.timing, run.story))
    if timing is not None and not run.is_surface:
        header = header_tr(run)
        if header > 0 and abs(header - timing.tr_s) > _SAME_S:
            yield "WARNING", f"its header states a TR of {header:g} s, its .json {timing.tr_s:g} s, which is taken"
    if not run.is_surface and source.settings.mask is None and not count_inside(source.index.mask(run)):
        yield "ERROR", "its mask is empty"
    _read_confounds(run, source.index, slice(0, volumes))
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
    heard = [story for story in source.stories() if source.has(subject, story)]
    yield from check_stories(source.stories(), heard)
    yield "OK", f"{len(heard)} stories"


def _place(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


ADAPTER = Adapter(
    BidsSource,
    _checks,
    mark="sub-*/ or derivatives/",
    patterns=("sub-*", "derivatives"),
    settings=BidsSettings,
    has_rules=True,
)
