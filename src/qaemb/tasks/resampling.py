"""Intervals and p-values of a mean over independent units (queries, texts), by resampling the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Units = NDArray[np.int64]

_LEVEL = (2.5, 97.5)
_BATCH = 256  # resamples at a time: memory stays at this many rows


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, and p of its being 0 where that was tested."""

    value: float
    low: float
    high: float
    p: float | None = None

    def metrics(self, name: str) -> dict[str, float]:
        """Return `name`, `name_low`, `name_high`, and `name_p` where there is one."""
        values = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return values if self.p is None else values | {f"{name}_p": self.p}


def interval(value: float, sampled: Sequence[float] | Scores) -> Estimate:
    """Return a value with the percentiles of what resampling gave in its place."""
    low, high = np.percentile(sampled, _LEVEL)
    return Estimate(value, float(low), float(high))


def mean_with_interval(scores: Scores, n_resamples: int, seed: int, units: Units | None = None) -> Estimate:
    """Return the mean of scores (n,) with the percentiles of its bootstrap.

    Each score is a unit of its own, or `units` (n,) numbers the unit of each: those of one unit are drawn together.
    """
    return interval(float(scores.mean()), _resampled_means(scores, n_resamples, np.random.default_rng(seed), units))


def paired_difference(
    scores: Scores, baseline: Scores, n_resamples: int, seed: int, units: Units | None = None
) -> Estimate:
    """Return the mean of `scores - baseline` (n,) with its interval and p; `units` as above.

    p: of a randomisation test, in which each unit swaps the two at random: how often is the difference, of either
    sign, at least as large? The observed one counts among them, so that p is never 0.
    """
    difference = scores - baseline
    mean = mean_with_interval(difference, n_resamples, seed, units)
    difference = _sums(difference, units)
    rng, larger = np.random.default_rng([seed, 1]), 0
    observed = abs(difference.sum())
    for size in _batches(n_resamples):
        signs = rng.choice([-1.0, 1.0], size=(size, len(difference)))
        larger += int((np.abs(signs @ difference) >= observed - 1e-12).sum())
    return Estimate(mean.value, mean.low, mean.high, (1 + larger) / (1 + n_resamples))


def _resampled_means(scores: Scores, n_resamples: int, rng: np.random.Generator, units: Units | None) -> Scores:
    sums, counts = _sums(scores, units), _sums(np.ones(len(scores)), units)
    means = []
    for size in _batches(n_resamples):
        drawn = rng.integers(len(sums), size=(size, len(sums)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)


def _sums(scores: Scores, units: Units | None) -> Scores:
    """Return the sum of the scores of each unit."""
    if units is None:
        return scores
    return np.bincount(np.unique(units, return_inverse=True)[1], scores).astype(np.float64)


def _batches(n: int) -> list[int]:
    return [min(_BATCH, n - start) for start in range(0, n, _BATCH)]
