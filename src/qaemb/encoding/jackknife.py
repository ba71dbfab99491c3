"""Block jackknife over the test stories: how far a score would move with other stretches of story.

Neighbouring TRs are not independent, so each test story is cut into blocks of about `block_trs` rows, and the score is
taken again without each block in turn. With k blocks in a story, T_i the score without block i and T their mean,

    variance = sum over stories of (k - 1) / k * sum_i (T_i - T)^2        bias = sum over stories of (k - 1) (T - score)

(Quenouille's and Tukey's jackknife on blocks, as Kuensch, 1989, does for dependent data). Student's t has k - 1 degrees
of freedom for each story, few on purpose: a story of 100 TRs has only some four independent blocks.

The blocks depend on the rows alone. Models that were scored on the same rows share them, so the difference of their
scores is jackknifed like one score, and what the models share does not widen its interval.

docs/statistics.md says how often these intervals held the truth in simulations, and why they are no bootstrap.

r over all test rows at once, stories laid end to end: the score of protocol `paper`.

Scores of many predictions of the same responses, with and without each block of test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qaemb.encoding.moments import Array
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


def concatenated_r(predicted: Array, measured: Array, n_rows: Sequence[int], block_trs: int) -> tuple[Array, Array]:
    """Return each voxel's r over all rows, (voxels,), and without each block of rows, (blocks, voxels).

    The arrays are (rows, voxels); `n_rows` are the rows of each story, with the blocks of `jackknife.jackknife_r`.
    Rows where the measured value is NaN are left out of their voxel; r is 0 where it is not defined.
    """
    known = np.isfinite(measured)
    n_known = np.maximum(known.sum(axis=0), 1)
    p, m = (np.where(known, own, 0.0) for own in (predicted, measured))
    squares = (p**2).sum(axis=0), (m**2).sum(axis=0)
    p, m = (np.where(known, own - own.sum(axis=0) / n_known, 0.0) for own in (p, m))
    offsets = np.cumsum([0, *n_rows[:-1]])
    starts = np.concatenate([first + block_starts(n, block_trs) for first, n in zip(offsets, n_rows, strict=True)])
    blocks = [np.add.reduceat(own, starts, axis=0) for own in (known.astype(np.float64), p, m, p * m, p**2, m**2)]
    totals = [sums.sum(axis=0) for sums in blocks]
    whole = _r(totals, squares)
    without = _r([total - sums for total, sums in zip(totals, blocks, strict=True)], squares)
    return whole, without


def _r(sums: Sequence[Array], squares: tuple[Array, Array]) -> Array:
    """Return r from rows, sums, products and squares; variances below the rounding of `squares` are none."""
    n, p, m, pm, pp, mm = sums
    n = np.maximum(n, 1)
    var_p, var_m = pp - p**2 / n, mm - m**2 / n
    r = r_from_sums(pm - p * m / n, variation(var_p, squares[0]), variation(var_m, squares[1]))
    return np.nan_to_num(r)


class Scorer:
    """r and share of variance of predictions of the same responses: whole, and without each block of rows.

    Both are means over the test stories. r is Pearson's; the share is 1 - SS(measured - predicted) / SS(measured), both
    centred by story: 1 is perfect, 0 is what predicting the mean gives, below 0 is worse than that. Blocks are those of
    `jackknife.jackknife_r`, and r is the same; many predictions of one response cost less here.
    """

    def __init__(self, measured: Sequence[Array], block_trs: int) -> None:
        self._stories = [_Story(values, block_trs) for values in measured]
        self.story = block_stories([len(values) for values in measured], block_trs)

    def score(self, predicted: Sequence[Array]) -> tuple[Array, Array]:
        """Return (r, share) as (2, v) and without each block of rows as (2, blocks, v); story by story (n_trs, v)."""
        found = [story.score(values) for story, values in zip(self._stories, predicted, strict=True)]
        value = np.mean([whole for whole, _ in found], axis=0)
        n = len(found)
        return value, np.concatenate([value[:, None] + (left - whole[:, None]) / n for whole, left in found], axis=1)


class _Story:
    def __init__(self, measured: Array, block_trs: int) -> None:
        self._m = measured - measured.mean(axis=0)
        self._starts = block_starts(len(measured), block_trs)
        self._rows = (len(measured) - np.diff(np.append(self._starts, len(measured))))[:, None]
        self._sum_m, squares = self._without(self._m), self._without(self._m**2)
        self._whole_m = variation((self._m**2).sum(axis=0), (measured**2).sum(axis=0))
        self._left_m = variation(squares - self._sum_m**2 / self._rows, squares)

    def score(self, predicted: Array) -> tuple[Array, Array]:
        """Return (2, v) of all rows, and (2, blocks, v) without each block."""
        p = predicted - predicted.mean(axis=0)
        products, squares = p * self._m, p * p
        sum_p, cov, var = self._without(p), self._without(products), self._without(squares)
        whole = _r_and_share(
            products.sum(axis=0),
            variation(squares.sum(axis=0), squares.sum(axis=0) + len(p) * predicted.mean(axis=0) ** 2),
            self._whole_m,
        )
        left = _r_and_share(
            cov - sum_p * self._sum_m / self._rows, variation(var - sum_p**2 / self._rows, var), self._left_m
        )
        return whole, np.nan_to_num(left)

    def _without(self, values: Array) -> Array:
        blocks = np.add.reduceat(values, self._starts, axis=0)
        return blocks.sum(axis=0) - blocks


def _r_and_share(cov: Array, var_p: Array, var_m: Array) -> Array:
    known = var_m > 0
    share = np.where(known, (2 * cov - var_p) / np.where(known, var_m, 1.0), np.nan)
    return np.stack([r_from_sums(cov, var_p, var_m), share])
