"""Lee's news documents with people's similarity of every pair, as the package gensim carries them in its test data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.rows import read_text

_FOLDER = Path("test/test_data")
_ENCODING = "latin-1"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"']?\s+(?=[\"']?[A-Z])")


def read_lee(root: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return 50 documents and their mean similarity (documents, documents), symmetric, from 0.2 (least) to 1.

    The file has the upper triangle; the diagonal is 1. BadInput names the file and line that is wrong.
    """
    texts = _documents(root / _FOLDER / "lee.cor")
    path = root / _FOLDER / "similarities0-1.txt"
    upper = np.zeros((len(texts), len(texts)))
    lines = _documents(path)
    if len(lines) != len(texts):
        raise BadInput(f"{path} has {len(lines)} rows for {len(texts)} documents; install the package again")
    for number, line in enumerate(lines):
        try:
            upper[number] = [float(value) for value in line.split()]
        except ValueError as error:
            raise BadInput(f"{path}, line {number + 1}: expected {len(texts)} numbers ({error})") from error
    half = np.triu(upper, 1)
    return texts, half + half.T + np.eye(len(texts))


def read_leads(root: Path) -> list[tuple[str, str]]:
    """Return the first sentence and the rest of each of Lee's 300 background documents that has more than one."""
    parts = (_SENTENCE_END.split(text, maxsplit=1) for text in _documents(root / _FOLDER / "lee_background.cor"))
    return [(own[0], own[1]) for own in parts if len(own) == 2]


def _documents(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path, _ENCODING).split("\n") if line.strip()]
