"""Block jackknife over the test stories: how far a score would move with other stretches of story.

Neighbouring TRs are not independent, so each test story is cut into blocks of about `block_trs` rows, and the score is
taken again without each block in turn. With k blocks in a story, T_i the score without block i and T their mean,

    variance = sum over stories of (k - 1) / k * sum_i (T_i - T)^2        bias = sum over stories of (k - 1) (T - score)

(Quenouille's and Tukey's jackknife on blocks, as Kuensch, 1989, does for dependent data). Student's t has k - 1 degrees
of freedom for each story, few on purpose: a story of 100 TRs has only some four independent blocks.

The blocks depend on the rows alone. Models that were scored on the same rows share them, so the difference of their
scores is jackknifed like one score, and what the models share does not widen its interval.

docs/statistics.md says how often these intervals held the truth in simulations, and why they are no bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qaemb.encoding.scores import correlation, r_from_sums, variation
from qaemb.errors import BadInput

_Array = NDArray[np.float64]
_P_OUTSIDE = 0.025  # on each side of a 95 % interval


@dataclass(frozen=True)
class Jackknife:
    """A score, and what it is without each block of rows.

    `value`: one number () or one a voxel (voxels,); `left_out`: (blocks,) or (blocks, voxels); `story` (blocks,): the
    number of the story that a block is cut from. `key` names the rows and voxels; only equal keys can be paired.
    """

    value: _Array
    left_out: _Array
    story: NDArray[np.int64]
    key: str = ""


@dataclass(frozen=True)
class Interval:
    """95 % interval `low` to `high`, and the two-sided p of the score against 0; shaped as the score.

    p < .05 wherever 0 lies outside of the interval, and nowhere else. NaN where the score is, and without blocks.
    """

    low: _Array
    high: _Array
    p: _Array


def block_starts(n_rows: int, block_trs: int) -> NDArray[np.int64]:
    """Return the first row of each block of a story: about `block_trs` rows each, two blocks or more.

    >>> block_starts(99, 25).tolist()
    [0, 25, 50, 74]
    """
    n_blocks = min(max(2, round(n_rows / block_trs)), n_rows)
    return np.linspace(0, n_rows, n_blocks + 1).round().astype(np.int64)[:-1]


def block_stories(n_rows: Sequence[int], block_trs: int) -> NDArray[np.int64]:
    """Return the number of its story for each block of stories with these numbers of rows, (blocks,)."""
    return np.repeat(np.arange(len(n_rows)), [len(block_starts(n, block_trs)) for n in n_rows])


def jackknife_r(predicted: Sequence[_Array], measured: Sequence[_Array], block_trs: int) -> Jackknife:
    """Return the mean over stories of each voxel's r; the arrays are (n_trs, voxels), one a story, no NaN."""
    whole = [correlation(p, m) for p, m in zip(predicted, measured, strict=True)]
    value = np.mean(whole, axis=0)
    parts = [
        value + (_r_without_blocks(p, m, block_trs) - r) / len(whole)
        for p, m, r in zip(predicted, measured, whole, strict=True)
    ]
    return Jackknife(value, np.concatenate(parts), block_stories([len(m) for m in measured], block_trs))


def paired_difference(a: Jackknife, b: Jackknife) -> Jackknife:
    """Return the score of A minus that of B; BadInput if they were not scored on the same rows, voxels and blocks."""
    if a.key != b.key or not np.array_equal(a.story, b.story):
        raise BadInput(
            "two models can only be paired if they were scored on the same subject, test stories, voxels and "
            "encode.block_trs; run `dvc repro encode`"
        )
    return Jackknife(a.value - b.value, a.left_out - b.left_out, a.story, a.key)


def confidence(score: Jackknife) -> Interval:
    """Return the 95 % interval of a score, and its p against 0.

    In short stories r is biased where predictions are slower or faster than noise, as each story is centred by itself.
    The interval reaches from the lower of score and bias-corrected score to the higher, and t standard errors beyond.
    """
    variance, bias, freedom = _moments(score)
    corrected = score.value - bias
    reach = stats.t.isf(_P_OUTSIDE, freedom) * np.sqrt(variance) if freedom else np.full_like(score.value, np.nan)
    same_side = score.value * corrected > 0
    nearest = np.where(same_side, np.minimum(np.abs(score.value), np.abs(corrected)), 0.0)
    t = nearest / np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    p = np.minimum(2 * stats.t.sf(t, freedom), 1.0) if freedom else np.full_like(score.value, np.nan)
    return Interval(
        np.minimum(score.value, corrected) - reach,
        np.maximum(score.value, corrected) + reach,
        np.where(np.isfinite(score.value), p, np.nan),
    )


def _r_without_blocks(predicted: _Array, measured: _Array, block_trs: int) -> _Array:
    """Return r of one story without each block, (blocks, voxels), from the blocks' sums; 0 where r is not defined."""
    p, m = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    starts = block_starts(len(p), block_trs)
    rows = (len(p) - np.diff(np.append(starts, len(p))))[:, None]
    blocks = [np.add.reduceat(values, starts, axis=0) for values in (p, m, p * m, p**2, m**2)]
    sum_p, sum_m, cov, var_p, var_m = (sums.sum(axis=0) - sums for sums in blocks)
    r = r_from_sums(
        cov - sum_p * sum_m / rows,
        variation(var_p - sum_p**2 / rows, var_p),
        variation(var_m - sum_m**2 / rows, var_m),
    )
    return np.nan_to_num(r)


def _moments(score: Jackknife) -> tuple[_Array, _Array, int]:
    """Return variance and bias of a score, shaped as it is, and the degrees of freedom of the variance."""
    variance, bias, freedom = np.zeros_like(score.value), np.zeros_like(score.value), 0
    for story in np.unique(score.story):
        own = score.left_out[score.story == story]
        k, mean = len(own), own.mean(axis=0)
        variance = variance + (k - 1) / k * ((own - mean) ** 2).sum(axis=0)
        bias = bias + (k - 1) * (mean - score.value)
        freedom += k - 1
    return variance, bias, freedom
