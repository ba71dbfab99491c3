"""What can be said of a mean over independent units (queries, texts): intervals and p-values by resampling them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

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
        own = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return own if self.p is None else own | {f"{name}_p": self.p}


def interval(value: float, sampled: Sequence[float] | Scores) -> Estimate:
    """Return a value with the percentiles of what resampling gave in its place."""
    low, high = np.percentile(sampled, _LEVEL)
    return Estimate(value, float(low), float(high))


def mean_with_interval(scores: Scores, n_resamples: int, seed: int) -> Estimate:
    """Return the mean over units (units,) with the percentiles of its bootstrap over units."""
    return interval(float(scores.mean()), _resampled_means(scores, n_resamples, np.random.default_rng(seed)))


def paired_difference(scores: Scores, baseline: Scores, n_resamples: int, seed: int) -> Estimate:
    """Return the mean of `scores - baseline` (units,) with its interval and p.

    p: of a randomisation test, in which each unit swaps the two at random: how often is the difference, of either
    sign, at least as large? The observed one counts among them, so that p is never 0.
    """
    difference = scores - baseline
    own = mean_with_interval(difference, n_resamples, seed)
    rng, larger = np.random.default_rng([seed, 1]), 0
    observed = abs(difference.sum())
    for size in _batches(n_resamples):
        signs = rng.choice([-1.0, 1.0], size=(size, len(difference)))
        larger += int((np.abs(signs @ difference) >= observed - 1e-12).sum())
    return Estimate(own.value, own.low, own.high, (1 + larger) / (1 + n_resamples))


def _resampled_means(scores: Scores, n_resamples: int, rng: np.random.Generator) -> Scores:
    parts = [scores[rng.integers(len(scores), size=(size, len(scores)))].mean(1) for size in _batches(n_resamples)]
    return np.concatenate(parts)


def _batches(n: int) -> list[int]:
    return [min(_BATCH, n - start) for start in range(0, n, _BATCH)]
