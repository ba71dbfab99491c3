"""Choosing one size on the path, from nested scores inside the train stories alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def standard_error(folds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error of means over folds, (sets,), of scores (sets, folds)."""
    error: NDArray[np.float64] = folds.std(axis=1, ddof=1) / np.sqrt(folds.shape[1])
    return error


def one_standard_error(sizes: NDArray[np.int64], folds: NDArray[np.float64]) -> int:
    """Return the position of the smallest size whose mean score is within one standard error of the best.

    `folds` (sizes, folds) are held-out scores; the error is that of the best size's mean over its folds (Breiman et
    al., 1984).

    >>> one_standard_error(np.array([5, 10, 20]), np.array([[1.0, 2.0], [2.0, 3.0], [2.1, 3.1]]))
    1
    """
    means = folds.mean(axis=1)
    best = int(means.argmax())
    enough = np.flatnonzero(means >= means[best] - standard_error(folds)[best])
    return int(enough[np.argmin(sizes[enough])])
