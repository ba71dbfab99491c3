"""Lee's 50 short news documents with people's similarity of every pair, as the package gensim carries them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.rows import read_text

_TEXTS, _SIMILARITY = "test/test_data/lee.cor", "test/test_data/similarities0-1.txt"


def read_lee(root: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return the documents and their mean similarity (documents, documents), symmetric, from 0.2 (least) to 1.

    The file has the upper triangle; the diagonal is 1. BadInput names the file and line that is wrong.
    """
    texts = [line.strip() for line in read_text(root / _TEXTS).split("\n") if line.strip()]
    path = root / _SIMILARITY
    upper = np.zeros((len(texts), len(texts)))
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if len(lines) != len(texts):
        raise BadInput(f"{path} has {len(lines)} rows for {len(texts)} documents; install the package again")
    for number, line in enumerate(lines):
        try:
            upper[number] = [float(value) for value in line.split()]
        except ValueError as error:
            raise BadInput(f"{path}, line {number + 1}: expected {len(texts)} numbers ({error})") from error
    half = np.triu(upper, 1)
    return texts, half + half.T + np.eye(len(texts))
