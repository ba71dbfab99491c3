"""Responses planted from annotations: properties of words -> TRs -> blood -> voxels, and noise on top.

All functions are pure; every random number comes from the generator that is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from qaemb.datasets.ds003020 import N_TRIMMED, TR_S
from qaemb.stimuli.lanczos import lanczos_matrix

_SOUND_START_S = 10.0
_N_BEFORE, _N_AFTER = 10, 5
"""Scans cut from the simulated run to give the rows of ds003020; five more are never simulated."""


def n_scans(duration_s: float) -> int:
    """Return the scans of a run with a sound of this length: 10 s before it, and 10 s after it.

    >>> n_scans(60.5)
    41
    """
    return int(np.ceil(duration_s / TR_S)) + N_TRIMMED // 2


def property_time_courses(
    word_times: NDArray[np.float64], word_properties: NDArray[np.float64], scans: int
) -> NDArray[np.float64]:
    """Return what each property does to the blood at each response row, (scans - 20, properties).

    `word_times` (words,) are the middles of the words in seconds of the sound, `word_properties` (words, properties)
    their 0/1 annotations. Lanczos brings these to the TRs of the whole run (from 10 s before the sound on), SPM's HRF
    delays and smears them, and the run is trimmed as ds003020's are.
    """
    from nilearn.glm.first_level import spm_hrf

    tr_times = TR_S * np.arange(scans - _N_AFTER, dtype=np.float64) - _SOUND_START_S + TR_S / 2
    neural = lanczos_matrix(word_times, tr_times) @ word_properties
    # One value per TR from the onset of the response on; it sums to 1, and its value at time 0 is 0.
    response = spm_hrf(TR_S, oversampling=1)
    blood = lfilter(response, [1.0], neural, axis=0)
    return blood[_N_BEFORE:-_N_AFTER]


def scale_signals(
    signals: list[NDArray[np.float64]], signal_to_noise: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the signals of all runs, each (rows, voxels), with the variance that `signal_to_noise` (voxels,) states.

    The variance is that inside runs (each run's mean is taken out, as z-scoring the runs will), over all rows; the
    noise has variance 1. A voxel without signal, by its weights or by 0 in `signal_to_noise`, stays without.
    """
    centred = [signal - signal.mean(axis=0) for signal in signals]
    variance = sum((signal**2).sum(axis=0) for signal in centred) / sum(len(signal) for signal in centred)
    scale = np.sqrt(np.divide(signal_to_noise, variance, out=np.zeros_like(variance), where=variance > 1e-12))
    return [signal * scale for signal in centred]


def ar1_noise(shape: tuple[int, int], coefficient: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return stationary AR(1) noise (rows, voxels) of variance 1: e_t = a e_(t-1) + sqrt(1 - a^2) n_t."""
    shocks = rng.normal(size=shape)
    shocks[1:] *= np.sqrt(1 - coefficient**2)
    return lfilter([1.0], [1.0, -coefficient], shocks, axis=0)


def zscore(run: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a run (rows, voxels) with mean 0 and variance 1 per voxel, rounded to 1e-6.

    The rounding makes the files independent of the order in which a machine's BLAS adds.
    """
    return np.round((run - run.mean(axis=0)) / run.std(axis=0), 6)
