"""Design matrices: z-scored per story, delayed inside the story."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadParameter
from qaemb.features.scaling import zscore

__all__ = ["delayed", "delayed_columns", "mean_delayed", "zscore"]


def delayed(values: NDArray[np.float64], delays: Sequence[int]) -> NDArray[np.float64]:
    """Return (rows, len(delays) * features): block d holds the features of `delays[d]` rows earlier.

    Rows before the start are zeros, the mean of z-scored features; nothing crosses from another story.
    BadParameter if a delay is negative or stands twice.

    >>> delayed(np.array([[1.0], [2.0], [3.0]]), [0, 2]).tolist()
    [[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]]
    """
    if min(delays) < 0 or len(set(delays)) != len(delays):
        raise BadParameter(f"encode.delays: {list(delays)} must be different whole numbers from 0 on")
    n_rows, n_features = values.shape
    blocks = np.zeros((n_rows, len(delays), n_features))
    for i, delay in enumerate(delays):
        blocks[delay:, i] = values[: max(n_rows - delay, 0)]
    return blocks.reshape(n_rows, -1)


def mean_delayed(values: NDArray[np.float64], delays: Sequence[int]) -> NDArray[np.float64]:
    """Return (rows, features): each feature's mean over its delayed copies."""
    return delayed(values, delays).reshape(len(values), len(delays), -1).mean(axis=1)


def delayed_columns(features: Sequence[int], n_features: int, n_delays: int) -> NDArray[np.int64]:
    """Return the columns that some of `n_features` features have in a matrix of `n_delays` delayed blocks.

    >>> delayed_columns([0, 2], 3, 2).tolist()
    [0, 2, 3, 5]
    """
    return (np.arange(n_delays)[:, None] * n_features + np.asarray(features, dtype=np.int64)).ravel()
