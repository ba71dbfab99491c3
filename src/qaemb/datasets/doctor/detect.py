"""Which adapter reads a folder, told from what lies in it."""

from __future__ import annotations

from pathlib import Path

from qaemb.errors import BadInput

_MARKS = {
    "ds003020": ("derivative/", "derivative"),
    "folder": ("stories.csv", "stories.csv"),
    "lebel_pcs": ("texts.json or SUBJECT/train/STORY.pkl", "texts.json", "*/*/*.pkl"),
    "bids": ("sub-*/ or derivatives/", "sub-*", "derivatives"),
}
"""Adapter: the mark in words, then patterns. The first that fits is taken: all of ds003020 is a BIDS folder, too."""


def detect_adapter(folder: Path) -> str:
    """Return the name of the adapter; BadInput says what was looked for, if the folder is not there or nothing fits."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    for adapter, (_, *patterns) in _MARKS.items():
        if any(next(folder.glob(pattern), None) is not None for pattern in patterns):
            return adapter
    looked = "; ".join(f"{adapter}: {words}" for adapter, (words, *_) in _MARKS.items())
    raise BadInput(f"{folder} is of no known kind ({looked}); name one with --adapter to see what is missing")
