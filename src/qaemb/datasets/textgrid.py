"""The words of a TextGrid: its tier of words, in order of time, and what was left out or is suspicious.

`praat` reads the file, `tiers` chooses the tier, `words` tells words from marks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from qaemb.datasets.praat import Tier, read_grid
from qaemb.datasets.tiers import choose_tiers
from qaemb.datasets.words import (
    NO_RULES,
    LabelRules,
    clean_word,
    first_of_each,
    spoken_words,
    word_notes,
    word_problems,
)
from qaemb.errors import BadInput

_TOLERANCE_S = 1e-6
_TINY_S = 1e-3
# Overlaps up to this are made by aligners and by hand; what goes beyond is an error of the times.
_MOST_OVERLAP_S = 0.1


@dataclass(frozen=True)
class _Transcript:
    """The words of a TextGrid, of one tier or of several that were joined.

    `words` (word, onset_s, offset_s) are in order of their middles if `problems` is empty; `attrs["marks"]` counts the
    labels that are no words. `problems` say why the words can't be used, `notes` what a user should know.
    """

    tiers: list[Tier]
    words: pd.DataFrame
    problems: list[str]
    notes: list[str]


def read_words(path: Path, rules: LabelRules = NO_RULES) -> pd.DataFrame:
    """Return the words of a TextGrid in order: word (lower case), onset_s, offset_s.

    `attrs["marks"]` counts the labels that were left out, `attrs["notes"]` lists what a user should know. BadInput
    names the file if it can't be read, does not say which tier holds the words, or holds none that can be used.
    """
    transcript = read_transcript(path, rules)
    if transcript.problems:
        raise BadInput(f"{path}: {transcript.problems[0]}")
    words = transcript.words
    if words.empty:
        name = transcript.tiers[0].name
        raise BadInput(f"{path}: tier `{name}` holds no words, only silences and noises; leave the story out")
    words.attrs["notes"] = transcript.notes + word_notes(words)
    return words


def read_transcript(path: Path, rules: LabelRules = NO_RULES) -> _Transcript:
    """Return the words of a TextGrid with all that is wrong with them; BadInput where no tier of words can be read."""
    grid = read_grid(path)
    tiers, notes = choose_tiers(path, grid.tiers, rules)
    problems: list[str] = []
    tables = []
    marks: Counter[str] = Counter()
    for tier in tiers:
        wrong, suspicious = _times(tier, rules)
        labels = pd.DataFrame(
            [(label, start, end) for start, end, label in tier.entries], columns=["word", "onset_s", "offset_s"]
        )
        words = spoken_words(labels, rules)
        if not wrong:
            wrong = [f"tier `{tier.name}`: {problem.message}" for problem in word_problems(words) if problem.fatal]
        problems += wrong
        notes += [note for _, note in first_of_each(("", note) for note in suspicious)]
        marks += words.attrs["marks"]
        tables.append(words)
    words = tables[0].reset_index(drop=True) if len(tables) == 1 else _joined(tables)
    words.attrs["marks"] = marks
    return _Transcript(tiers, words, problems, grid.notes + notes)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the words of all tiers in order of their middles, the order that the later stages need."""
    words = pd.concat([pd.DataFrame(table.to_dict("list")) for table in tables], ignore_index=True)
    middle = (words["onset_s"] + words["offset_s"]) / 2
    order = pd.DataFrame({"middle": middle, "onset": words["onset_s"]}).sort_values(["middle", "onset"], kind="stable")
    return words.loc[order.index].reset_index(drop=True)


def _times(tier: Tier, rules: LabelRules) -> tuple[list[str], list[str]]:
    """Return what is wrong with the times of the words of a tier, and what is suspicious about its intervals.

    Silences and noises have no consequence where they end before they start or overlap one another.
    """
    problems, notes = [], []
    reached, after_word, covers = tier.start, False, _covers(tier, rules)
    for number, (start, end, label) in enumerate(tier.entries):
        is_word = clean_word(label, rules) is not None
        if end < start:
            if is_word:
                problems.append(f"tier `{tier.name}`: `{label}` at {start:g} s ends before it starts, at {end:g} s")
            continue
        overlap = reached - start if number else 0.0
        if overlap > _MOST_OVERLAP_S + _TOLERANCE_S and (is_word or after_word):
            problems.append(
                f"tier `{tier.name}` is not in order of time: `{label}` starts at {start:g} s, the one before ends at "
                f"{reached:g} s"
            )
        elif overlap > _TOLERANCE_S and (is_word != after_word or (is_word and overlap < _TINY_S)):
            notes.append(f"tier `{tier.name}`: `{label}` starts at {start:g} s, before the last ends at {reached:g} s")
        elif covers and abs(start - reached) > _TOLERANCE_S and overlap <= 0:
            notes.append(_hole(tier, reached, start))
        reached, after_word = end, is_word
    if covers and abs(reached - tier.end) > _TOLERANCE_S:
        notes.append(_hole(tier, reached, tier.end))
    return problems, notes


def _hole(tier: Tier, reached: float, start: float) -> str:
    if start < reached:
        return f"tier `{tier.name}` spans {tier.start:g} to {tier.end:g} s, but its intervals go beyond that"
    return (
        f"tier `{tier.name}`: nothing stands between {reached:g} and {start:g} s, though its intervals cover the rest"
    )


def _covers(tier: Tier, rules: LabelRules) -> bool:
    """Return whether the intervals of a tier are meant to cover it, silences with them, as Praat writes them."""
    forward = [entry for entry in tier.entries if entry[1] >= entry[0]]
    if len(forward) < 2:
        return len(forward) == 1
    n_tight = sum(abs(after[0] - before[1]) <= _TOLERANCE_S for before, after in pairwise(forward))
    has_silence = any(clean_word(entry[2], rules) is None for entry in forward)
    return n_tight >= (0.5 if has_silence else 0.9) * (len(forward) - 1)
