"""The words of a story: which labels of a transcript are words, and what can be wrong with them.

A fatal problem is one with which no stage can work; the others are only suspicious.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from qaemb.errors import BadInput
from qaemb.rows import FIRST_ROW

_TOLERANCE_S = 1e-3
_LONGEST_S = 5.0
_Row = tuple[str, float, float]
# What is left of UTF-8 text that was read in another encoding, the mark of lost characters, and control characters.
_GARBLED = re.compile("[\u00c2\u00c3\u00e2\u00e3][\u0080-\u00bf]|\u00e2\u20ac|\ufffd|[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class _WordProblem:
    """Something about one word: its place in the table (from 0), and whether the story can't be used with it."""

    number: int
    kind: str
    message: str
    fatal: bool = False


def word_problems(words: pd.DataFrame) -> list[_WordProblem]:
    """Return what is wrong with words (word, onset_s, offset_s), in their order.

    Fatal: a word that ends before it starts, or whose middle lies before the middle of the word before it, since
    words are put on TRs and in context by their order. Overlaps alone are not: aligners make them.
    """
    rows = list(words[["word", "onset_s", "offset_s"]].itertuples(index=False, name=None))
    problems = [problem for i, row in enumerate(rows) for problem in _alone(i, *row)]
    for i, (before, row) in enumerate(pairwise(rows), start=1):
        problems += _after(i, before, row)
    return sorted(problems, key=lambda problem: problem.number)


def _alone(i: int, word: str, onset: float, offset: float) -> list[_WordProblem]:
    name, problems = f"`{word}` at {onset:g} s", []
    if offset < onset:
        message = f"{name} ends before it starts, at {offset:g} s"
        problems.append(_WordProblem(i, "backwards", message, fatal=True))
    if offset - onset > _LONGEST_S:
        problems.append(_WordProblem(i, "long", f"{name} takes {offset - onset:g} s"))
    if _GARBLED.search(word):
        problems.append(_WordProblem(i, "garbled", f"{name} looks garbled, as text read in a wrong encoding does"))
    return problems


def _after(i: int, before: _Row, row: _Row) -> list[_WordProblem]:
    name = f"`{row[0]}` at {row[1]:g} s"
    if row[1] + row[2] < before[1] + before[2] - _TOLERANCE_S:
        message = f"{name} is out of order: the word before it is at {before[1]:g} s"
        return [_WordProblem(i, "order", message, fatal=True)]
    if row[:2] == before[:2]:
        return [_WordProblem(i, "twice", f"{name} is there twice")]
    if row[1] < before[2] - _TOLERANCE_S:
        return [_WordProblem(i, "overlap", f"{name} overlaps the word before it, which ends at {before[2]:g} s")]
    return []


def require_usable(path: Path, words: pd.DataFrame) -> None:
    """Raise BadInput for words of a file that can't be used, with the row of the first that is wrong, or for none.

    The index of `words` counts the rows of the file.
    """
    if words.empty:
        raise BadInput(f"{path} holds no words, only silences and noises; leave the story out")
    fatal = [problem for problem in word_problems(words) if problem.fatal]
    if fatal:
        row, more = FIRST_ROW + words.index[fatal[0].number], len(fatal) - 1
        others = f" (and {more} more rows)" if more else ""
        raise BadInput(f"{path}, row {row}: {fatal[0].message}{others}; put the words in order of time")


# Marks of ds003020's transcripts for silence, breath, laughter, lip smack and noise, and for the ends of a sentence.
NOISE_LABELS = frozenset({"sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp"})


def clean_word(label: str) -> str | None:
    """Return the word of a label in lower case, or None where the label is empty or marks a noise or a silence.

    >>> [clean_word(label) for label in ("Don't", "{LG}", "sp", " ")]
    ["don't", None, None, None]
    """
    word = label.strip().strip("{}").strip().lower()
    return None if not word or word in NOISE_LABELS else word
