"""Praat TextGrids: the intervals of the words tier, checked against what the file declares.

praatio reads the long and the short form. It takes a file that was cut in the middle for a complete one, with fewer
intervals or an empty tier, and sorts intervals that are out of order. The forms declare how many tiers and intervals
follow: here the declared numbers are compared with what was read, and intervals keep the order of the file. The
chronological form is read below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from qaemb.datasets.words import clean_word
from qaemb.errors import BadInput

_WORD_TIERS = ("word", "words")
_LONG_TIERS = re.compile(r"^\s*size ?= ?(\d+)\s*$", re.MULTILINE)
_LONG_INTERVALS = re.compile(r"^\s*(?:intervals|points) ?: ?size ?= ?(\d+)\s*$", re.MULTILINE)
_SHORT_TIERS = re.compile(r"^<exists>\s*\n(\d+)\s*$", re.MULTILINE)
_SHORT_INTERVALS = re.compile(
    r'^"(?:IntervalTier|TextTier)"\s*\n".*"\s*\n[\d.eE+-]+\s*\n[\d.eE+-]+\s*\n(\d+)\s*$', re.MULTILINE
)
_CHRONOLOGICAL = "Praat chronological TextGrid text file"
_TOKEN = re.compile(r'\s*(?:!.*|"(?P<text>(?:[^"]|"")*)"|(?P<number>[-+]?[\d.][^\s"!]*)|(?P<rest>\S+))')
_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Tier:
    """A tier in the order of the file: entries (start, end, label) in seconds; a point starts and ends at its time."""

    name: str
    is_intervals: bool
    end: float
    entries: list[tuple[float, float, str]]


def read_words(path: Path) -> pd.DataFrame:
    """Return the words of a TextGrid in order: word (lower case), onset_s, offset_s.

    The words tier is the one called `word` or `words`, else the second. Empty labels and noise marks are left out.
    BadInput names the file if it is missing, malformed, cut off (it declares more than it holds), or holds no words.
    """
    tier = words_tier(path, read_tiers(path))
    problems = order_problems(tier)
    if problems:
        raise BadInput(f"{path}: {problems[0]}")
    words = tier_words(tier)
    if words.empty:
        raise BadInput(f"{path}: tier `{tier.name}` holds no words, only silences and noises; leave the story out")
    return words


def tier_words(tier: Tier) -> pd.DataFrame:
    """Return the words of a tier: word (lower case), onset_s, offset_s; no row where there are none."""
    rows = [(clean_word(label), start, end) for start, end, label in tier.entries]
    return pd.DataFrame([row for row in rows if row[0]], columns=["word", "onset_s", "offset_s"])


def read_tiers(path: Path) -> list[Tier]:
    """Return all tiers of a TextGrid in the long, short or chronological form, UTF-8 or UTF-16.

    BadInput names the file if it is missing, in another encoding, malformed, or holds less than it declares.
    """
    try:
        text = _decode(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; fetch it or leave the story out") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is neither UTF-8 nor UTF-16 text ({error}); save it as UTF-8") from error
    if not _is_chronological(text):
        return _long_or_short(path, text)
    try:
        tiers = _read_chronological(text)
    except ValueError as error:
        raise BadInput(f"{path}: {error}: cut off or malformed; fetch it again") from error
    return [Tier(tier.name, tier.is_intervals, tier.end, tier.entries) for tier in tiers]


def words_tier(path: Path, tiers: list[Tier]) -> Tier:
    """Return the tier that holds the words; BadInput names the file if there is none, or it holds points."""
    named = [tier for tier in tiers if tier.name.lower() in _WORD_TIERS]
    if not named and len(tiers) < 2:
        raise BadInput(f"{path} has no tier of words: neither one called `word` or `words` nor a second tier")
    tier = named[0] if named else tiers[1]
    if not tier.is_intervals:
        raise BadInput(f"{path}: tier `{tier.name}` should hold the words as intervals, but holds points")
    return tier


def order_problems(tier: Tier) -> list[str]:
    """Return, for every interval that is not in order of time, what is wrong with it."""
    problems, reached = [], 0.0
    for start, end, label in tier.entries:
        if end < start:
            problems.append(f"tier `{tier.name}`: `{label}` at {start:g} s ends before it starts, at {end:g} s")
        elif start < reached - _TOLERANCE_S:
            problems.append(
                f"tier `{tier.name}` is not in order of time: `{label}` starts at {start:g} s, the one before ends at "
                f"{reached:g} s"
            )
        reached = end
    return problems


def _long_or_short(path: Path, text: str) -> list[Tier]:
    from praatio.utilities.errors import PraatioException
    from praatio.utilities.textgrid_io import parseTextgridStr

    declared = _declared_counts(path, text)
    try:
        parsed = parseTextgridStr(text, includeEmptyIntervals=True)["tiers"]
        tiers = [_tier(values) for values in parsed]
    except (PraatioException, ValueError, IndexError, AttributeError, KeyError, TypeError) as error:
        problem = f"declares {_counts(declared)}, but can't be read to the end"
        raise BadInput(f"{path} {problem} ({error}): cut off or malformed; fetch it again") from error
    read = [len(tier.entries) for tier in tiers]
    if read != declared:
        raise BadInput(f"{path} declares {_counts(declared)}, found {_counts(read)}: cut off; fetch it again")
    return tiers


def _tier(values: dict) -> Tier:
    entries = [(float(entry[0]), float(entry[-2]), entry[-1]) for entry in values["entries"]]
    return Tier(values["name"], values["class"] == "IntervalTier", float(values["xmax"]), entries)


def _decode(raw: bytes) -> str:
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return raw.decode(encoding).replace("\r\n", "\n")


def _declared_counts(path: Path, text: str) -> list[int]:
    """Return the number of intervals (or points) that each tier declares; -1 for a tier whose head is missing."""
    if "ooTextFile" not in text[:200]:
        raise BadInput(
            f'{path} is no TextGrid in the long, short or chronological form: `File type = "ooTextFile"` is missing'
        )
    is_long = "item [" in text or "item[" in text
    tiers = (_LONG_TIERS if is_long else _SHORT_TIERS).search(text)
    if tiers is None:
        raise BadInput(f"{path} does not say how many tiers it has: cut off or malformed; fetch it again")
    counts = [int(count) for count in (_LONG_INTERVALS if is_long else _SHORT_INTERVALS).findall(text)]
    return counts + [-1] * (int(tiers.group(1)) - len(counts))


def _counts(counts: list[int]) -> str:
    sizes = ", ".join("unknown" if count < 0 else str(count) for count in counts)
    return f"{len(counts)} tiers of {sizes or 'no'} intervals"


# The chronological form, which no maintained library with a permissive licence reads. A file is a stream of strings in
# double quotes (a quote inside is doubled), numbers, and comments from `!` to the end of the line. First come the name
# of the form, the start and end of the sound and the number of tiers, then class, name, start and end of every tier,
# then the entries of all tiers by time: number of the tier, start, end and label of an interval, or number of the tier,
# time and label of a point. The form declares no number of entries, but the intervals of a tier cover it without gaps:
# where they stop before the tier's end, the file was cut.


@dataclass
class _ChronologicalTier:
    """One tier while it is read; times in seconds, a point starts and ends at its time."""

    is_intervals: bool
    name: str
    start: float
    end: float
    entries: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def reached(self) -> float:
        """The time up to which intervals are there."""
        return self.entries[-1][1] if self.entries else self.start


def _is_chronological(text: str) -> bool:
    """Return whether a text is a TextGrid in the chronological form."""
    return text.lstrip().startswith(f'"{_CHRONOLOGICAL}"')


def _read_chronological(text: str) -> list[_ChronologicalTier]:
    """Return the tiers of a TextGrid in the chronological form; ValueError says what is wrong, and where it can."""
    stream = _Stream(text)
    stream.text()
    stream.number(), stream.number()
    tiers = [_read_head(stream) for _ in range(stream.integer())]
    while not stream.at_end():
        number = stream.integer()
        if not 1 <= number <= len(tiers):
            raise ValueError(f"line {stream.line}: entry of tier {number}, but there are {len(tiers)} tiers")
        _read_entry(stream, tiers[number - 1])
    for tier in tiers:
        if tier.is_intervals and abs(tier.reached - tier.end) > _TOLERANCE_S:
            raise ValueError(
                f"tier `{tier.name}` should reach {tier.end:g} s, found intervals up to {tier.reached:g} s"
            )
    return tiers


def _read_head(stream: _Stream) -> _ChronologicalTier:
    kind = stream.text()
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"line {stream.line}: a tier is an IntervalTier or a TextTier, not `{kind}`")
    return _ChronologicalTier(kind == "IntervalTier", stream.text(), stream.number(), stream.number())


def _read_entry(stream: _Stream, tier: _ChronologicalTier) -> None:
    start = stream.number()
    end = stream.number() if tier.is_intervals else start
    if tier.is_intervals and abs(start - tier.reached) > _TOLERANCE_S:
        raise ValueError(
            f"line {stream.line}: tier `{tier.name}` goes on at {start:g} s, but the interval before ends at "
            f"{tier.reached:g} s"
        )
    tier.entries.append((start, end, stream.text().strip()))


class _Stream:
    """The strings and numbers of a text, one after the other; `line` is where the last one ended."""

    def __init__(self, text: str) -> None:
        self._length = len(text.rstrip())
        self._text = text
        self._tokens = self._matches()
        self._next = next(self._tokens, None)
        self._position = 0

    @property
    def line(self) -> int:
        return self._text.count("\n", 0, self._position) + 1

    def at_end(self) -> bool:
        return self._next is None

    def text(self) -> str:
        value = self._take("text", "a text in quotes")
        return value.replace('""', '"')

    def number(self) -> float:
        value = self._take("number", "a number")
        try:
            return float(value)
        except ValueError as error:
            raise ValueError(f"line {self.line}: `{value}` is not a number") from error

    def integer(self) -> int:
        value = self.number()
        if value != int(value):
            raise ValueError(f"line {self.line}: {value:g} should be a whole number")
        return int(value)

    def _take(self, kind: str, what: str) -> str:
        if self._next is None:
            raise ValueError(f"line {self.line}: it ends where {what} should follow")
        match, self._next = self._next, next(self._tokens, None)
        self._position = match.end()
        if match[kind] is None:
            raise ValueError(f"line {self.line}: {what} should stand here, not `{match[0].strip()[:40]}`")
        return match[kind]

    def _matches(self) -> Iterator[re.Match[str]]:
        position = 0
        while position < self._length:
            match = _TOKEN.match(self._text, position)
            if match is None:  # only blanks are left
                return
            position = match.end()
            if match.lastgroup is not None:  # no comment
                yield match
