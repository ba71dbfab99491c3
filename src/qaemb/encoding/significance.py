"""Is a voxel predicted better than chance? Surrogate predictions of the same rhythm, and false discovery rates.

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

from qaemb.encoding.scores import correlation, r_from_sums, variation

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


def q_values(p: _Array) -> _Array:
    """Return Benjamini-Hochberg's q of each p: the false discovery rate at which it is called; NaN stays NaN."""
    known = np.isfinite(p)
    q = np.full(p.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return q
