"""Praat TextGrids: the intervals of the words tier, read with praatio and checked against the declared counts.

praatio reads the long and the short form, but it takes a file that was cut in the middle for a complete one, with
fewer intervals or an empty tier. The form declares how many tiers and intervals follow; here they are compared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.datasets.labels import clean_word
from qaemb.errors import BadInput

_WORD_TIERS = ("word", "words")
_LONG_TIERS = re.compile(r"^\s*size ?= ?(\d+)\s*$", re.MULTILINE)
_LONG_INTERVALS = re.compile(r"^\s*(?:intervals|points) ?: ?size ?= ?(\d+)\s*$", re.MULTILINE)
_SHORT_TIERS = re.compile(r"^<exists>\s*\n(\d+)\s*$", re.MULTILINE)
_SHORT_INTERVALS = re.compile(
    r'^"(?:IntervalTier|TextTier)"\s*\n".*"\s*\n[\d.eE+-]+\s*\n[\d.eE+-]+\s*\n(\d+)\s*$', re.MULTILINE
)


def read_words(path: Path) -> pd.DataFrame:
    """Return the words of a TextGrid in order: word (lower case), onset_s, offset_s.

    The words tier is the one called `word` or `words`, else the second. Empty labels and noise marks are left out.
    BadInput names the file if it is missing, malformed, cut off (declared against found), or holds no words.
    """
    tier = _words_tier(path, _read_tiers(path))
    rows = [(clean_word(entry.label), float(entry.start), float(entry.end)) for entry in tier.entries]
    words = pd.DataFrame([row for row in rows if row[0]], columns=["word", "onset_s", "offset_s"])
    if words.empty:
        raise BadInput(f"{path}: tier `{tier.name}` holds no words, only silences and noises; leave the story out")
    return words


def _read_tiers(path: Path) -> tuple[Any, ...]:
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    try:
        text = _decode(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; fetch it or leave the story out") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is neither UTF-8 nor UTF-16 text: {error}") from error
    declared = _declared_counts(path, text)
    try:
        tiers = textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="silence").tiers
    except (PraatioException, ValueError, IndexError, AttributeError, KeyError, TypeError) as error:
        found = f"declares {_counts(declared)}, but can't be read to the end"
        raise BadInput(f"{path} {found} ({error}): cut off or malformed; fetch it again") from error
    read = [len(tier.entries) for tier in tiers]
    if read != declared:
        raise BadInput(f"{path} declares {_counts(declared)}, found {_counts(read)}: cut off; fetch it again")
    return tiers


def _decode(raw: bytes) -> str:
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return raw.decode(encoding).replace("\r\n", "\n")


def _declared_counts(path: Path, text: str) -> list[int]:
    """Return the number of intervals (or points) that each tier declares; -1 for a tier whose head is missing."""
    if "ooTextFile" not in text[:200]:
        raise BadInput(f'{path} is no TextGrid in the long or short text form: `File type = "ooTextFile"` is missing')
    is_long = "item [" in text or "item[" in text
    tiers = (_LONG_TIERS if is_long else _SHORT_TIERS).search(text)
    if tiers is None:
        raise BadInput(f"{path} does not say how many tiers it has: cut off or malformed; fetch it again")
    counts = [int(count) for count in (_LONG_INTERVALS if is_long else _SHORT_INTERVALS).findall(text)]
    return counts + [-1] * (int(tiers.group(1)) - len(counts))


def _counts(counts: list[int]) -> str:
    sizes = ", ".join("unknown" if count < 0 else str(count) for count in counts)
    return f"{len(counts)} tiers of {sizes or 'no'} intervals"


def _words_tier(path: Path, tiers: tuple[Any, ...]) -> Any:
    named = [tier for tier in tiers if tier.name.lower() in _WORD_TIERS]
    if not named and len(tiers) < 2:
        raise BadInput(f"{path} has no tier of words: neither one called `word` or `words` nor a second tier")
    tier = named[0] if named else tiers[1]
    if tier.tierType != "IntervalTier":
        raise BadInput(f"{path}: tier `{tier.name}` should hold the words as intervals, but holds points")
    for before, after in zip(tier.entries, tier.entries[1:], strict=False):
        if before.end > after.start + 1e-6 or after.end < after.start:
            raise BadInput(f"{path}: tier `{tier.name}` is not in order of time at {after.start} s (`{after.label}`)")
    return tier
