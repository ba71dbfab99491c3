"""The chronological form of Praat's TextGrids, which no maintained permissive library reads.

A file is a stream of strings in double quotes (a quote inside is doubled), numbers, and comments from `!` to the end
of the line. First come the form's name, the start and end of the sound and the number of tiers, then class, name, start
and end of every tier, then the entries of all tiers by time: number of the tier, start, end and label of an interval,
or number of the tier, time and label of a point. The form declares no number of entries, but the intervals of a tier
cover it without gaps: where they stop before the tier's end, the file was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADER = "Praat chronological TextGrid text file"

_TOKEN = re.compile(r'\s*(?:!.*|"(?P<text>(?:[^"]|"")*)"|(?P<number>[-+]?[\d.][^\s"!]*)|(?P<rest>\S+))')
_TOLERANCE_S = 1e-6


@dataclass
class ChronologicalTier:
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


def is_chronological(text: str) -> bool:
    """Return whether a text is a TextGrid in the chronological form."""
    return text.lstrip().startswith(f'"{HEADER}"')


def read_chronological(text: str) -> list[ChronologicalTier]:
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


def _read_head(stream: _Stream) -> ChronologicalTier:
    kind = stream.text()
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"line {stream.line}: a tier is an IntervalTier or a TextTier, not `{kind}`")
    return ChronologicalTier(kind == "IntervalTier", stream.text(), stream.number(), stream.number())


def _read_entry(stream: _Stream, tier: ChronologicalTier) -> None:
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

    def _take(self, kind: str, wanted: str) -> str:
        if self._next is None:
            raise ValueError(f"line {self.line}: it ends where {wanted} should follow")
        match, self._next = self._next, next(self._tokens, None)
        self._position = match.end()
        if match[kind] is None:
            raise ValueError(f"line {self.line}: {wanted} should stand here, not `{match[0].strip()[:40]}`")
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
