"""Scores of predictions, voxel by voxel: correlation, noise ceiling, p and false discovery rate.

**Noise ceiling.** The highest correlation that any prediction can have with the mean of R repeats of a story is
estimated from signal power (Sahani & Linden, 2003; Schoppe et al., 2016):

    SP = (R var(mean of repeats) - mean of var(repeat)) / (R - 1)        CC_max = sqrt(SP / var(mean of repeats))

Variances are over time. SP is unbiased; where it comes out negative the voxel shows no signal and the ceiling is 0.

**Chance.** The null hypothesis is that a voxel's responses have nothing to do with its prediction. Both are slow, so
shuffled rows, and shuffled blocks of rows, make a null distribution that is too narrow (docs/statistics.md has the
rates). Surrogates by random phases (Theiler et al., 1992) keep a prediction's power at every frequency, and so its
autocorrelation, exactly; only when things happen is random. If noise is stationary and Gaussian the test is exact but
for the edges of a story.

By Parseval's theorem r of a surrogate needs no surrogate: with P and M the Fourier coefficients of prediction and
response and u_f = exp(i phase_f), it is the sum over f of Re(u_f conj(P_f) M_f), over the norms, which stay what they
are. One matrix product makes all draws for all voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qaemb.arrays import Array, Floats, Mask

ALPHA = 0.05  # a voxel with q below this is called significant
_RELATIVE_ZERO = 1e-12  # a sum of centred squares below this share of the sum of squares is rounding
_P_RELIABLE = 0.001
_VOXELS_AT_ONCE = 512  # bounds the memory of (draws, voxels) arrays


def correlation(predicted: Floats, measured: Floats) -> Array:
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


def variation(centred: Array, squares: Array) -> Array:
    """Return sums of centred squares, 0 where they are only the rounding of the sums of squares."""
    return np.where(centred > _RELATIVE_ZERO * squares, centred, 0.0)


def r_from_sums(cov: Array, var_p: Array, var_m: Array) -> Array:
    """Return r from sums of centred products, any shape: NaN where the measured, 0 where the predicted don't vary."""
    product = var_p * var_m
    r = np.where(product > 0, cov / np.sqrt(np.where(product > 0, product, 1.0)), 0.0)
    return np.where(var_m > 0, r, np.nan)


def noise_ceiling(repeats: Floats) -> tuple[Array, Mask]:
    """Return the ceiling of r with the mean of the repeats, 0 to 1, and whether the repeats agree, both (voxels,).

    `repeats` is (repeats, n_trs, voxels). The ceiling is NaN where it can't be estimated: one repeat only, a NaN, or a
    voxel that does not vary. Repeats agree at p < .001 in an analysis of variance with time as the factor. Such voxels
    are called reliable, and shares of the ceiling are taken over them only: a ceiling near 0 is an estimate around
    nothing, cut at 0 and so biased upwards.
    """
    n, n_trs, n_voxels = repeats.shape
    if n < 2:
        return np.full(n_voxels, np.nan), np.zeros(n_voxels, dtype=bool)
    centred = np.asarray(repeats, dtype=np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    of_mean, mean_of = centred.mean(axis=0).var(axis=0), centred.var(axis=1).mean(axis=0)  # variances over time
    signal = np.maximum((n * of_mean - mean_of) / (n - 1), 0.0)
    estimable = np.isfinite(of_mean) & (mean_of > np.finfo(np.float64).tiny)
    ratio = signal / np.where(estimable & (of_mean > 0), of_mean, 1.0)
    ceiling = np.where(estimable, np.sqrt(np.minimum(ratio, 1.0)), np.nan)
    if n_trs < 2:
        return ceiling, np.zeros(n_voxels, dtype=bool)
    # F = mean square between times / within times; `mean_of - of_mean` is what differs between the repeats.
    f = (n - 1) * of_mean / np.maximum(mean_of - of_mean, np.finfo(np.float64).tiny)
    return ceiling, np.nan_to_num(f, nan=0.0) > stats.f.isf(_P_RELIABLE, n_trs - 1, (n - 1) * (n_trs - 1))


def _random_phases(n_rows: int, n_draws: int, seed: Sequence[int]) -> NDArray[np.complex128]:
    """Return exp(i phase) of every frequency above 0, (n_draws, n_rows // 2); +1 or -1 at the highest of an even n."""
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).random((n_draws, n_rows // 2)))
    if n_rows % 2 == 0:
        phases[:, -1] = np.where(phases[:, -1].real >= 0, 1.0, -1.0)
    return phases


def _surrogate_r(predicted: Array, measured: Array, phases: NDArray[np.complex128]) -> Array:
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


def p_values(predicted: Sequence[Array], measured: Sequence[Array], n_draws: int, seed: int) -> Array:
    """Return p of each voxel's mean r over stories being above chance, (voxels,): (1 + draws not below r) / (1 + n).

    The arrays are (n_trs, voxels), one a story, no NaN. All voxels share the phases of a draw.
    """
    phases = [_random_phases(len(values), n_draws, (seed, number)) for number, values in enumerate(measured)]
    p = np.empty(measured[0].shape[1])
    for first in range(0, len(p), _VOXELS_AT_ONCE):
        voxels = slice(first, first + _VOXELS_AT_ONCE)
        pairs = [(a[:, voxels], b[:, voxels]) for a, b in zip(predicted, measured, strict=True)]
        r = np.mean([correlation(a, b) for a, b in pairs], axis=0)
        null = np.mean([_surrogate_r(a, b, u) for (a, b), u in zip(pairs, phases, strict=True)], axis=0)
        p[voxels] = (1 + (null >= r).sum(axis=0)) / (1 + n_draws)
    return p
