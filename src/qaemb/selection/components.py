"""Principal components of responses, read in blocks of voxels so that all voxels are never in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SPARE = 20  # directions beyond those asked for
_PASSES = 4


def components(blocks: Callable[[], Iterator[Array]], n_rows: int, n_components: int, seed: int) -> Array:
    """Return the scores of the first principal components, (n_rows, at most n_components), largest variance first.

    `blocks()` yields the columns of the responses anew at each call, (n_rows, v) each, centred. Randomised range
    finder with power iterations (Halko, Martinsson & Tropp, 2011): each pass multiplies by Y Y'.
    """
    width = min(n_components + _SPARE, n_rows)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n_rows, width)))
    for _ in range(_PASSES):
        basis, _ = np.linalg.qr(sum((y @ (y.T @ basis) for y in blocks()), np.zeros((n_rows, width))))
    small = sum(((y.T @ basis).T @ (y.T @ basis) for y in blocks()), np.zeros((width, width)))
    eigenvalues, vectors = np.linalg.eigh(small)
    order = np.argsort(-eigenvalues)[:n_components]
    return basis @ vectors[:, order] * np.sqrt(np.maximum(eigenvalues[order], 0.0))
