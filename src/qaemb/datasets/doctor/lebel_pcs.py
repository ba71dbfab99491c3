"""The checks of a folder of lebel_pcs, in either of its forms: story by story, as the adapter reads them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qaemb.datasets.doctor.arrays import Compared, Recorded, check_responses
from qaemb.datasets.doctor.findings import Check, Problem, listed
from qaemb.datasets.doctor.transcripts import check_words
from qaemb.datasets.lebel_pcs import LebelPcs, spread_words
from qaemb.errors import BadInput


def lebel_pcs_checks(folder: Path) -> list[Check]:
    """Return the checks of all stories, responses and labels; BadInput if the folder can't be opened."""
    source, compared = LebelPcs(folder), Compared()
    checks = [Check(f"texts of {story}", partial(_check_story, source, story)) for story in source.stories()]
    for subject in source.subjects():
        checks.append(Check(subject, partial(_check_subject, source, subject)))
        for story in source.stories():
            place = f"{subject}, {story}"
            of = Recorded(subject, place, partial(source.responses, subject, story))
            checks.append(Check(place, partial(_check_responses, source, of, story, compared)))
    return checks


def _check_story(source: LebelPcs, story: str) -> Iterator[Problem]:
    timing = source.timing(story)
    yield from check_words(spread_words(source.texts(story)), timing)
    labels = source.published(story)
    if not labels:
        yield "WARNING", "no labels"
    for table in labels.values():
        unused = int((table.nunique() < 2).sum())
        if unused > table.shape[1] / 2:
            yield "WARNING", f"{unused} of {table.shape[1]} labels are the same in all TRs"


def _check_subject(source: LebelPcs, subject: str) -> Iterator[Problem]:
    missing = [story for story in source.stories() if not source.has(subject, story)]
    if missing:
        yield "WARNING", f"lacks {len(missing)} of {len(source.stories())} stories: {listed(missing)}"
    yield "OK", f"{len(source.stories()) - len(missing)} stories"


def _check_responses(source: LebelPcs, of: Recorded, story: str, compared: Compared) -> Iterator[Problem]:
    try:
        there = source.has(of.subject, story)
    except BadInput:  # the subject's file has a check of its own
        there = False
    if there:
        yield from check_responses(of, compared)
