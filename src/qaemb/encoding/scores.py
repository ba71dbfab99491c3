"""Scores of predictions: correlation per target.

Noise ceilings: the highest correlation that any prediction can have with responses, from repeats of a story.

Signal power (Sahani & Linden, 2003) and the ceiling of r with the mean of R repeats (Schoppe et al., 2016), per voxel:

    SP = (R var(mean of repeats) - mean of var(repeat)) / (R - 1)        CC_max = sqrt(SP / var(mean of repeats))

Variances are over time. SP is unbiased; where it comes out negative the voxel shows no signal and the ceiling is 0.

Is a voxel predicted better than chance? Surrogate predictions of the same rhythm, and false discovery rates.

Null hypothesis: a voxel's responses have nothing to do with its prediction. Both are slow, so shuffled rows, and
shuffled blocks of rows, make a null distribution that is too narrow (docs/statistics.md has the rates). Surrogates by
random phases (Theiler et al., 1992) keep a prediction's power at every frequency, and so its autocorrelation, exactly;
only when things happen is random. If noise is stationary and Gaussian the test is exact but for the edges of a story.

By Parseval's theorem r of a surrogate needs no surrogate: with P and M the Fourier coefficients of prediction and
response and u_f = exp(i phase_f), it is the sum over f of Re(u_f conj(P_f) M_f), over the norms, which stay what they
are. One matrix product makes all draws for all voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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


_Array = NDArray[np.float64]
ALPHA = 0.05  # a voxel with q below this is called significant
_VOXELS_AT_ONCE = 512  # bounds the memory of (draws, voxels) arrays


def random_phases(n_rows: int, n_draws: int, seed: Sequence[int]) -> NDArray[np.complex128]:
    """Return exp(i phase) of every frequency above 0, (n_draws, n_rows // 2); +1 or -1 at the highest of an even n."""
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).random((n_draws, n_rows // 2)))
    if n_rows % 2 == 0:
        phases[:, -1] = np.where(phases[:, -1].real >= 0, 1.0, -1.0)
    return phases


def surrogate_r(predicted: _Array, measured: _Array, phases: NDArray[np.complex128]) -> _Array:
    """Return r of each surrogate prediction with the response, (n_draws, voxels); arrays are (n_trs, voxels), no NaN.

    0 where the prediction does not vary.
    """
    p, m = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    products = np.conj(np.fft.rfft(p, axis=0)[1:]) * np.fft.rfft(m, axis=0)[1:]
    # Every frequency stands for itself and its negative, but the highest of an even number of rows.
    twice = np.full((len(products), 1), 2.0)
    if len(p) % 2 == 0:
        twice[-1] = 1.0
    products *= twice / len(p)
    cov = np.hstack([phases.real, -phases.imag]) @ np.vstack([products.real, products.imag])
    var_p = variation((p**2).sum(axis=0), (predicted**2).sum(axis=0))
    var_m = variation((m**2).sum(axis=0), (measured**2).sum(axis=0))
    return r_from_sums(cov, var_p, var_m)


def p_values(predicted: Sequence[_Array], measured: Sequence[_Array], n_draws: int, seed: int) -> _Array:
    """Return p of each voxel's mean r over stories being above chance, (voxels,): (1 + draws not below r) / (1 + n).

    The arrays are (n_trs, voxels), one a story, no NaN. All voxels share the phases of a draw.
    """
    phases = [random_phases(len(values), n_draws, (seed, number)) for number, values in enumerate(measured)]
    p = np.empty(measured[0].shape[1])
    for first in range(0, len(p), _VOXELS_AT_ONCE):
        own = slice(first, first + _VOXELS_AT_ONCE)
        pairs = [(a[:, own], b[:, own]) for a, b in zip(predicted, measured, strict=True)]
        r = np.mean([correlation(a, b) for a, b in pairs], axis=0)
        null = np.mean([surrogate_r(a, b, u) for (a, b), u in zip(pairs, phases, strict=True)], axis=0)
        p[own] = (1 + (null >= r).sum(axis=0)) / (1 + n_draws)
    return p
