"""Praat TextGrids: the intervals of the words tier, checked against what the file declares.

The long and the short form are read with praatio, which takes a file that was cut in the middle for a complete one,
with fewer intervals or an empty tier, and sorts intervals that are out of order. The forms declare how many tiers and
intervals follow; here they are compared, and intervals keep the order of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qaemb.datasets.textgrid_chronological import is_chronological, read_chronological
from qaemb.datasets.words import clean_word
from qaemb.errors import BadInput

_WORD_TIERS = ("word", "words")
_LONG_TIERS = re.compile(r"^\s*size ?= ?(\d+)\s*$", re.MULTILINE)
_LONG_INTERVALS = re.compile(r"^\s*(?:intervals|points) ?: ?size ?= ?(\d+)\s*$", re.MULTILINE)
_SHORT_TIERS = re.compile(r"^<exists>\s*\n(\d+)\s*$", re.MULTILINE)
_SHORT_INTERVALS = re.compile(
    r'^"(?:IntervalTier|TextTier)"\s*\n".*"\s*\n[\d.eE+-]+\s*\n[\d.eE+-]+\s*\n(\d+)\s*$', re.MULTILINE
)
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
    BadInput names the file if it is missing, malformed, cut off (declared against found), or holds no words.
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
    if not is_chronological(text):
        return _long_or_short(path, text)
    try:
        tiers = read_chronological(text)
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
        found = f"declares {_counts(declared)}, but can't be read to the end"
        raise BadInput(f"{path} {found} ({error}): cut off or malformed; fetch it again") from error
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
