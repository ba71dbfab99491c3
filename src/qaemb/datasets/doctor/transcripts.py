"""Checks of the words of a story, and of the TextGrid that they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.datasets.doctor.findings import Problem, first_of_each
from qaemb.datasets.source import Timing
from qaemb.datasets.textgrid import read_transcript
from qaemb.datasets.words import (
    NO_RULES,
    LabelRules,
    are_utterances,
    odd_labels,
    shown_counts,
    utterances_message,
    word_problems,
)
from qaemb.rows import FIRST_ROW

_MOST_OUTSIDE = 0.4
_SILENCE_S = 60.0


def check_textgrid(
    path: Path, timing: Timing | None, reach_s: float | None = None, rules: LabelRules = NO_RULES
) -> Iterator[Problem]:
    """Yield what is wrong with a TextGrid and its words; `reach_s` is the time at which the scanner stopped.

    Every message about words names the tier that they stand in.
    """
    transcript = read_transcript(path, rules)
    names = ", ".join(f"`{tier.name}`" for tier in transcript.tiers)
    tiers = f"tier{'s' if len(transcript.tiers) > 1 else ''} {names}"
    for note in transcript.notes:
        yield "WARNING", note if names in note else f"{note} (words: {tiers})"
    yield from first_of_each(("order", ("ERROR", problem)) for problem in transcript.problems)
    for tier in transcript.tiers:
        late = [entry for entry in tier.entries if entry[1] > tier.end + 1e-3]
        if late:
            end, label = late[0][1:]
            yield "ERROR", f"tier `{tier.name}`: `{label}` ends at {end:g} s, beyond the sound ({tier.end:g} s)"
    if not transcript.problems:
        for level, message in check_words(transcript.words, timing, reach_s):
            yield level, f"{message} ({tiers})"


def check_table(words: pd.DataFrame, timing: Timing | None) -> Iterator[Problem]:
    """Yield what is wrong with words whose index counts the rows of their file, with these rows."""
    yield from check_words(words, timing, row_of=lambda number: f"row {FIRST_ROW + words.index[number]}: ")


def check_words(
    words: pd.DataFrame,
    timing: Timing | None,
    reach_s: float | None = None,
    row_of: Callable[[int], str] = lambda number: "",
) -> Iterator[Problem]:
    """Yield what is wrong with words, alone and against the response rows where these are known.

    `row_of` says where a word stands in its file, for messages.
    """
    if words.empty:
        yield "ERROR", "holds no words, only silences and noises"
        return
    labels = words["word"].tolist()
    if are_utterances(labels):
        yield "ERROR", utterances_message(labels)
        return
    problems = word_problems(words)
    yield from first_of_each(
        (p.kind, ("ERROR" if p.fatal else "WARNING", row_of(p.number) + p.message)) for p in problems
    )
    last = float(words["offset_s"].max())
    if reach_s is not None and last > reach_s:
        late = int((words["offset_s"] > reach_s).sum())
        yield "WARNING", f"{late} words end after the scanner stopped, at {reach_s:g} s of the sound: the wrong story?"
    if timing is not None:
        yield from _against_rows(words, timing)
    odd = odd_labels(labels)
    if odd:
        yield "WARNING", f"odd labels, read as words: {shown_counts(odd)}; list those that are none in dataset.marks"
    marks: Counter[str] = words.attrs.get("marks", Counter())
    no_words = f"; {marks.total()} marks are no words: {shown_counts(marks)}" if marks else ""
    yield "OK", f"{len(words)} words from {words['onset_s'].min():.1f} to {last:.1f} s{no_words}"


def _against_rows(words: pd.DataFrame, timing: Timing) -> Iterator[Problem]:
    start = timing.first_tr_s - timing.tr_s / 2
    end = start + timing.n_trs * timing.tr_s
    middle = (words["onset_s"] + words["offset_s"]).to_numpy(np.float64) / 2
    outside = float(np.mean((middle < start) | (middle >= end)))
    rows = f"the {timing.n_trs} response rows, {start:g} to {end:g} s"
    if outside == 1:
        yield "ERROR", f"no word falls on {rows}"
    elif outside > _MOST_OUTSIDE:
        yield "WARNING", f"{outside:.0%} of the words fall outside {rows}"
    elif end - middle[-1] > _SILENCE_S:
        yield (
            "WARNING",
            f"the last word is at {middle[-1]:.0f} s, long before the end of {rows}: the wrong story or TR?",
        )
