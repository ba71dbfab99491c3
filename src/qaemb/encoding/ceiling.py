"""Noise ceilings: the highest correlation that any prediction can have with responses, from repeats of a story.

Signal power (Sahani & Linden, 2003) and the ceiling of r with the mean of R repeats (Schoppe et al., 2016), per voxel:

    SP = (R var(mean of repeats) - mean of var(repeat)) / (R - 1)        CC_max = sqrt(SP / var(mean of repeats))

Variances are over time. SP is unbiased; where it comes out negative the voxel shows no signal and the ceiling is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_P_RELIABLE = 0.001


def noise_ceiling(repeats: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the ceiling of r with the mean of the repeats, per voxel of (repeats, n_trs, voxels), from 0 to 1.

    NaN where it can't be estimated: one repeat only, a NaN, or a voxel that does not vary.
    """
    n, of_mean, mean_of = _variances(repeats)
    if n < 2:
        return np.full(repeats.shape[2], np.nan)
    signal = np.maximum((n * of_mean - mean_of) / (n - 1), 0.0)
    known = np.isfinite(of_mean) & (mean_of > np.finfo(np.float64).tiny)
    ratio = signal / np.where(known & (of_mean > 0), of_mean, 1.0)
    return np.where(known, np.sqrt(np.minimum(ratio, 1.0)), np.nan)


def reliable(repeats: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which voxels answer alike in the repeats: analysis of variance with time as the factor, p < .001.

    A ceiling near 0 is an estimate around nothing, cut at 0 and so biased upwards; shares of the ceiling are taken
    over reliable voxels only.
    """
    n, of_mean, mean_of = _variances(repeats)
    n_trs = repeats.shape[1]
    if n < 2 or n_trs < 2:
        return np.zeros(repeats.shape[2], dtype=bool)
    # F = mean square between times / within times; `mean_of - of_mean` is what differs between the repeats.
    differs = np.maximum(mean_of - of_mean, np.finfo(np.float64).tiny)
    f = (n - 1) * of_mean / differs
    return np.nan_to_num(f, nan=0.0) > stats.f.isf(_P_RELIABLE, n_trs - 1, (n - 1) * (n_trs - 1))


def normalised_r(r: NDArray[np.float64], ceiling: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return CC_norm per voxel: the sum of r over that of the ceilings, over the stories that have a ceiling.

    `r` and `ceiling` are (stories, voxels), `kept` (voxels,) the reliable ones. NaN for the others, and where no story
    has a ceiling above 0. It may exceed 1: both numbers are estimates.
    """
    known = np.isfinite(r) & np.isfinite(ceiling)
    reached, possible = (np.where(known, values, 0.0).sum(axis=0) for values in (r, ceiling))
    usable = kept & (possible > 0)
    return np.where(usable, reached / np.where(usable, possible, 1.0), np.nan)


def _variances(repeats: NDArray[np.floating]) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of repeats, the variance over time of their mean, and the mean of their variances."""
    centred = np.asarray(repeats, dtype=np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    return len(centred), centred.mean(axis=0).var(axis=0), centred.var(axis=1).mean(axis=0)
