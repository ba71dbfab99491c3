"""The checks of a BIDS folder with fMRIPrep's outputs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qaemb.datasets.bids.events import read_events_table
from qaemb.datasets.bids.images import count_inside, header_tr, n_volumes, read_confounds
from qaemb.datasets.bids.index import BidsIndex, Run
from qaemb.datasets.bids.source import BidsSource
from qaemb.datasets.doctor.arrays import Compared, Recorded, check_responses
from qaemb.datasets.doctor.findings import Check, Problem, listed
from qaemb.datasets.doctor.transcripts import check_table
from qaemb.datasets.source import Timing
from qaemb.errors import BadInput
from qaemb.settings import BidsSettings

_SAME_TR_S = 1e-3


def bids_checks(folder: Path, settings: BidsSettings) -> list[Check]:
    """Return the checks of events, images, confounds and masks; BadInput if no runs can be told from the names."""
    source, compared = BidsSource(folder, settings), Compared()
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
    yield from check_table(read_events_table(source.index.events(run), source.settings), _timing(source, run.story))


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
