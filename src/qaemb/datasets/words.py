"""The words of a story: which labels of a transcript are words, and what can be wrong with them.

A fatal problem is one with which no stage can work; the others are only suspicious.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pandas as pd

from qaemb.errors import BadInput
from qaemb.rows import FIRST_ROW
from qaemb.settings import DatasetSettings

_TOLERANCE_S = 1e-3
_LONGEST_S = 5.0
_Row = tuple[str, float, float]
Kind = TypeVar("Kind", bound=Hashable)
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
    if onset < 0:
        problems.append(_WordProblem(i, "early", f"{name} starts before time 0; it stays there"))
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


def word_notes(words: pd.DataFrame) -> list[str]:
    """Return what is suspicious about words that can be used, the first of each kind with the number of others."""
    return [
        message for _, message in first_of_each((problem.kind, problem.message) for problem in word_problems(words))
    ]


def first_of_each(messages: Iterable[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
    """Return the first message of each kind, with the number of others; takes pairs of kind and message."""
    firsts: dict[Kind, str] = {}
    counts: Counter[Kind] = Counter()
    for kind, message in messages:
        firsts.setdefault(kind, message)
        counts[kind] += 1
    return [
        (kind, message + (f" (and {counts[kind] - 1} more like it)" if counts[kind] > 1 else ""))
        for kind, message in firsts.items()
    ]


def require_usable(path: Path, words: pd.DataFrame) -> None:
    """Raise BadInput for words of a file that can't be used, with the row of the first that is wrong, or for none.

    The index of `words` counts the rows of the file.
    """
    if words.empty:
        raise BadInput(f"{path} holds no words, only silences and noises; leave the story out")
    if are_utterances(words["word"].tolist()):
        raise BadInput(f"{path}: {utterances_message(words['word'].tolist())}")
    fatal = [problem for problem in word_problems(words) if problem.fatal]
    if fatal:
        row, more = FIRST_ROW + words.index[fatal[0].number], len(fatal) - 1
        others = f" (and {more} more rows)" if more else ""
        raise BadInput(f"{path}, row {row}: {fatal[0].message}{others}; put the words in order of time")
    words.attrs["notes"] = word_notes(words)


# Marks of ds003020's transcripts for silence, breath, laughter, lip smack and noise, and for the ends of a sentence.
_NOISE_LABELS = frozenset({"sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp"})
# Marks that aligners (MFA, Kaldi, HTK, Festival, Gentle, TIMIT) and CHAT write without brackets; none is a word.
_BARE_MARKS = _NOISE_LABELS | {"sil", "ssil", "spn", "nsn", "unk", "oov", "pau", "h#", "xxx", "yyy"}
_BARE_MARKS |= {"sent-start", "sent-end", "!sil", "!silence", "!enter", "!exit", "!null"}
# What P2FA, FAVE and Buckeye write in curly brackets; without these the bracket is left out and the word stays.
_CURLY_MARKS = frozenset(
    {"cg", "sl", "lip", "laugh", "laughs", "laughter", "cough", "breath", "noise", "sil", "silence", "pause", "spn"}
    | {"b_trans", "e_trans"}
)
_BRACKETED = re.compile(r"(?:<[^<>]*>|\[[^\[\]]*\]|\(\([^()]*\)\)|\([^()]*\)|\s)+")
# Signs that words rarely hold and marks of transcripts often do.
_ODD = re.compile(r"[<>\[\]{}()*#_=/\\|@+~^\s]|^[&%0]\D")


@dataclass(frozen=True)
class LabelRules:
    """What section `dataset` says of transcripts: the tiers that hold the words, and labels that are no words."""

    tiers: tuple[str | int, ...] = ()
    marks: frozenset[str] = frozenset()

    @classmethod
    def of(cls, section: DatasetSettings) -> LabelRules:
        """Return the rules of a section; its marks are compared in lower case."""
        names = section.words_tier
        tiers = () if names is None else tuple(names) if isinstance(names, list) else (names,)
        return cls(tiers, frozenset(mark.strip().lower() for mark in section.marks))


NO_RULES = LabelRules()


def clean_word(label: str, rules: LabelRules = NO_RULES) -> str | None:
    """Return the word of a label in lower case, or None where the label is empty or marks a noise or a silence.

    Marks are labels in <...>, [...] or (...), labels without a letter or a digit, what aligners write for silence,
    noise and words that they don't know, CHAT's `xxx` and `&=laughs`, and the marks of the rules.

    >>> [clean_word(label) for label in ("Don't", "{LG}", "sp", " ", "<unk>", "[noise]", "***")]
    ["don't", None, None, None, None, None, None]
    """
    whole = label.strip().lower()
    word = whole.strip("{}").strip()
    is_mark = (
        whole in rules.marks
        or word in _BARE_MARKS
        or (whole.startswith("{") and word in _CURLY_MARKS)
        or _BRACKETED.fullmatch(whole) is not None
        or whole.startswith("&=")
    )
    return None if is_mark or not any(letter.isalnum() for letter in word) else word


def spoken_words(labels: pd.DataFrame, rules: LabelRules = NO_RULES) -> pd.DataFrame:
    """Return the rows (word, onset_s, offset_s) whose label is a word, in lower case, with their index.

    `attrs["marks"]` counts the labels that were left out as marks, empty ones aside.
    """
    cleaned = labels["word"].map(lambda label: clean_word(label, rules))
    words = labels.assign(word=cleaned)[cleaned.notna()]
    dropped = labels["word"][cleaned.isna()].str.strip().str.lower()
    words.attrs["marks"] = Counter(label for label in dropped if label)
    return words


def odd_labels(words: Iterable[str]) -> Counter[str]:
    """Return the words that may be marks, with their counts: several words in one, brackets, signs."""
    return Counter(word for word in words if _ODD.search(word) and not _GARBLED.search(word))


def are_utterances(words: Sequence[str]) -> bool:
    """Return whether labels are sentences, not words: more than half hold blanks, or three pieces on average."""
    pieces = [len(word.split()) for word in words]
    return bool(pieces) and (sum(n > 1 for n in pieces) > len(pieces) / 2 or sum(pieces) >= 3 * len(pieces))


def utterances_message(words: Sequence[str]) -> str:
    """Return why such labels can't be used, with the first that shows it."""
    several = [word for word in words if " " in word.strip()]
    example = several[0] if len(several[0]) <= 40 else several[0][:37] + "..."
    return (
        f"{len(several)} of {len(words)} labels hold several words, as in `{example}`: sentences, not words; each word "
        "needs a time of its own, as a forced aligner gives it"
    )


def shown_counts(counts: Counter[str], most: int = 8) -> str:
    """Return labels with their counts, the most frequent first.

    >>> shown_counts(Counter(["sp", "sp", "<unk>"]))
    '`sp` 2, `<unk>` 1'
    """
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(pairs) - most} more" if len(pairs) > most else ""
    return ", ".join(f"`{label}` {count}" for label, count in pairs[:most]) + more
