"""Scores of predictions: correlation per target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RELATIVE_ZERO = 1e-12


def correlation(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Pearson's r of each column of two (rows, targets) arrays, (targets,).

    A target that does not vary (or holds NaN) has no r: NaN. A prediction that does not vary explains nothing: 0, so
    that means over voxels are over the same voxels whatever the features.

    >>> correlation(np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [6.0]])).round(6).tolist()
    [1.0]
    """
    p, m = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    centred_p, centred_m = p - p.mean(axis=0), m - m.mean(axis=0)
    return r_from_sums(
        (centred_p * centred_m).sum(axis=0),
        variation((centred_p**2).sum(axis=0), (p**2).sum(axis=0)),
        variation((centred_m**2).sum(axis=0), (m**2).sum(axis=0)),
    )


def variation(centred: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of centred squares, 0 where they are only the rounding of the sums of squares."""
    return np.where(centred > _RELATIVE_ZERO * squares, centred, 0.0)


def r_from_sums(
    cov: NDArray[np.float64], var_p: NDArray[np.float64], var_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return r from sums of centred products, any shape: NaN where the measured, 0 where the predicted don't vary."""
    product = var_p * var_m
    r = np.where(product > 0, cov / np.sqrt(np.where(product > 0, product, 1.0)), 0.0)
    return np.where(var_m > 0, r, np.nan)


def nan_mean(values: NDArray[np.float64], axis: int | None = None) -> NDArray[np.float64]:
    """Return the mean over the values that are not NaN; NaN, without a warning, where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
