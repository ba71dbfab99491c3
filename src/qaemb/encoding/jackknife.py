"""Block jackknife over the test stories: how far a score would move with other stretches of story.

Neighbouring TRs are not independent, so each test story is cut into blocks of about `block_trs` rows, and the score is
taken again without each block in turn. With k blocks in a story, T_i the score without block i and T their mean,

    variance = sum over stories of (k - 1) / k * sum_i (T_i - T)^2        bias = sum over stories of (k - 1) (T - score)

(Quenouille's and Tukey's jackknife on blocks, as Kuensch, 1989, does for dependent data). Student's t has k - 1 degrees
of freedom for each story, few on purpose: a story of 100 TRs has only some four independent blocks.

The blocks depend on the rows alone. Models that were scored on the same rows share them, so the difference of their
scores is jackknifed like one score, and what the models share does not widen its interval. docs/statistics.md says how
often these intervals held the truth in simulations, and why they are no bootstrap.

A score is the mean over stories of r (`jackknife_r`; `Scorer` where many predictions of the same responses are scored),
or, under protocol `paper`, r over all test rows at once (`concatenated_r`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qaemb.arrays import Array, Integers
from qaemb.encoding.scores import correlation, r_from_sums, variation
from qaemb.errors import BadInput

_P_OUTSIDE = 0.025  # on each side of a 95 % interval


@dataclass(frozen=True)
class Jackknife:
    """A score, and what it is without each block of rows.

    `value`: one number () or one a voxel (voxels,); `left_out`: (blocks,) or (blocks, voxels); `story` (blocks,): the
    number of the story that a block is cut from. `key` names the rows and voxels; only equal keys can be paired.
    """

    value: Array
    left_out: Array
    story: Integers
    key: str = ""


@dataclass(frozen=True)
class Interval:
    """95 % interval `low` to `high`, and the two-sided p of the score against 0; shaped as the score.

    p < .05 wherever 0 lies outside of the interval, and nowhere else. NaN where the score is, and without blocks.
    """

    low: Array
    high: Array
    p: Array


def _block_starts(n_rows: int, block_trs: int) -> Integers:
    """Return the first row of each block of a story: about `block_trs` rows each, two blocks or more.

    >>> _block_starts(99, 25).tolist()
    [0, 25, 50, 74]
    """
    n_blocks = min(max(2, round(n_rows / block_trs)), n_rows)
    return np.linspace(0, n_rows, n_blocks + 1).round().astype(np.int64)[:-1]


def block_stories(n_rows: Sequence[int], block_trs: int) -> Integers:
    """Return the number of its story for each block of stories with these numbers of rows, (blocks,)."""
    return np.repeat(np.arange(len(n_rows)), [len(_block_starts(n, block_trs)) for n in n_rows])


def jackknife_r(predicted: Sequence[Array], measured: Sequence[Array], block_trs: int) -> Jackknife:
    """Return the mean over stories of each voxel's r; the arrays are (n_trs, voxels), one a story, no NaN."""
    whole = [correlation(p, m) for p, m in zip(predicted, measured, strict=True)]
    value = np.mean(whole, axis=0)
    parts = [
        value + (_Story(m, block_trs).score(p)[1][0] - r) / len(whole)
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


def _moments(score: Jackknife) -> tuple[Array, Array, int]:
    """Return variance and bias of a score, shaped as it is, and the degrees of freedom of the variance."""
    variance, bias, freedom = np.zeros_like(score.value), np.zeros_like(score.value), 0
    for story in np.unique(score.story):
        left_out = score.left_out[score.story == story]
        k, mean = len(left_out), left_out.mean(axis=0)
        variance = variance + (k - 1) / k * ((left_out - mean) ** 2).sum(axis=0)
        bias = bias + (k - 1) * (mean - score.value)
        freedom += k - 1
    return variance, bias, freedom


def concatenated_r(predicted: Array, measured: Array, n_rows: Sequence[int], block_trs: int) -> tuple[Array, Array]:
    """Return each voxel's r over all rows, (voxels,), and without each block of rows, (blocks, voxels).

    The arrays are (rows, voxels); `n_rows` are the rows of each story, with the blocks of `jackknife_r`. Rows where the
    measured value is NaN are left out of their voxel; r is 0 where it is not defined.
    """
    finite = np.isfinite(measured)
    n_finite = np.maximum(finite.sum(axis=0), 1)
    p, m = (np.where(finite, values, 0.0) for values in (predicted, measured))
    squares = (p**2).sum(axis=0), (m**2).sum(axis=0)
    p, m = (np.where(finite, values - values.sum(axis=0) / n_finite, 0.0) for values in (p, m))
    offsets = np.cumsum([0, *n_rows[:-1]])
    starts = np.concatenate([first + _block_starts(n, block_trs) for first, n in zip(offsets, n_rows, strict=True)])
    sums = [_whole_and_without(values, starts) for values in (finite.astype(np.float64), p, m, p * m, p**2, m**2)]
    whole, without = zip(*sums, strict=True)
    return _r(whole, squares), _r(without, squares)


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
    centred by story: 1 is perfect, 0 is what predicting the mean gives, below 0 is worse than that. Blocks and r are
    those of `jackknife_r`; many predictions of one response cost less here.
    """

    def __init__(self, measured: Sequence[Array], block_trs: int) -> None:
        self._stories = [_Story(values, block_trs) for values in measured]
        self.story = block_stories([len(values) for values in measured], block_trs)

    def score(self, predicted: Sequence[Array]) -> tuple[Array, Array]:
        """Return (r, share) as (2, v) and without each block of rows as (2, blocks, v); story by story (n_trs, v)."""
        scores = [story.score(values) for story, values in zip(self._stories, predicted, strict=True)]
        value = np.mean([whole for whole, _ in scores], axis=0)
        n = len(scores)
        return value, np.concatenate([value[:, None] + (left - whole[:, None]) / n for whole, left in scores], axis=1)


class _Story:
    """One story's responses (n_trs, v), and what r and share of a prediction need of them."""

    def __init__(self, measured: Array, block_trs: int) -> None:
        self._m = measured - measured.mean(axis=0)
        self._starts = _block_starts(len(measured), block_trs)
        self._rows = (len(measured) - np.diff(np.append(self._starts, len(measured))))[:, None]
        self._sum_m, squares = self._without(self._m), self._without(self._m**2)
        self._whole_m = variation((self._m**2).sum(axis=0), (measured**2).sum(axis=0))
        self._left_m = variation(squares - self._sum_m**2 / self._rows, squares)

    def score(self, predicted: Array) -> tuple[Array, Array]:
        """Return r and share of variance of all rows, (2, v), and without each block, (2, blocks, v).

        The first are NaN where they are not defined, the second 0.
        """
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
        return _whole_and_without(values, self._starts)[1]


def _whole_and_without(values: Array, starts: Integers) -> tuple[Array, Array]:
    """Return the sums over all rows, (v,), and over the rows outside of each block, (blocks, v)."""
    blocks = np.add.reduceat(values, starts, axis=0)
    total = blocks.sum(axis=0)
    return total, total - blocks


def _r_and_share(cov: Array, var_p: Array, var_m: Array) -> Array:
    varies = var_m > 0
    share = np.where(varies, (2 * cov - var_p) / np.where(varies, var_m, 1.0), np.nan)
    return np.stack([r_from_sums(cov, var_p, var_m), share])
