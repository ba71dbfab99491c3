"""Word features to TRs: the Lanczos filter of the story-listening encoding models."""

from __future__ import annotations

import numpy as np

from qaemb.arrays import Array
from qaemb.errors import BadInput


def lanczos_matrix(word_times: Array, tr_times: Array, lobes: int = 3) -> Array:
    """Return the matrix (n_tr, n_words) that turns a column of word values into a column of TR values.

    With t = (tr_time - word_time) / TR the weight is sinc(t) * sinc(t / lobes) for |t| <= lobes, else 0, where
    sinc(t) = sin(pi t) / (pi t): 1 for a word in the middle of its TR. The cutoff is the TRs' own rate, so a word
    counts in the `lobes` TRs before and after it. Rows are not normalised: values grow with the words per TR.

    `word_times` (n_words,) are the middles of the words, `tr_times` (n_tr,) the middles of the TRs, both in seconds
    and evenly spaced for the TRs. BadInput if there are fewer than two TRs (their rate is then unknown).

    >>> lanczos_matrix(np.array([2.0]), np.array([0.0, 2.0, 4.0])).round(3).T
    array([[0., 1., 0.]])
    """
    tr_times = np.asarray(tr_times, dtype=np.float64)
    if len(tr_times) < 2:
        raise BadInput(f"at least two TRs are needed to place words on them, not {len(tr_times)}")
    cutoff = 1.0 / np.mean(np.diff(tr_times))
    t = (tr_times[:, None] - np.asarray(word_times, dtype=np.float64)[None, :]) * cutoff
    return np.where(np.abs(t) <= lobes, np.sinc(t) * np.sinc(t / lobes), 0.0)
