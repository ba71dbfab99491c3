"""Z-scoring of features within a story."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RELATIVE_ZERO = 1e-9  # a standard deviation below this share of the largest |value| is rounding, not variation


def zscore(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return columns of (rows, features) with mean 0 and standard deviation 1 (divided by n, not n - 1).

    A column that does not vary is only demeaned: it becomes zeros.

    >>> zscore(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    sd = centred.std(axis=0)
    varies = sd > _RELATIVE_ZERO * np.abs(values).max(axis=0)
    centred[:, ~varies] = 0.0
    return centred / np.where(varies, sd, 1.0)
