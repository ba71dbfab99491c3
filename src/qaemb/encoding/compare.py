"""Two models on one subject, voxel by voxel and on the mean, from what they predict on the same test rows.

Claims about subjects as a population count each subject as one number, never its voxels pooled with those of others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qaemb.arrays import Array
from qaemb.encoding.jackknife import Interval, Jackknife, block_stories, confidence, jackknife_r, paired_difference
from qaemb.encoding.scores import ALPHA
from qaemb.stats import q_values

_P = 0.05
_EXACT_UP_TO = 20  # subjects: 2^20 sign patterns fit in memory; of more subjects as many patterns are drawn


@dataclass(frozen=True)
class PairedBlock:
    """Some voxels: what A and B predict and what was measured, each (n_trs, v) a test story, no NaN."""

    a: Sequence[Array]
    b: Sequence[Array]
    measured: Sequence[Array]


@dataclass(frozen=True)
class Comparison:
    """A against B on one subject: r of both and the interval of the difference, (voxels,), and all of it on the mean.

    `q` is the false discovery rate over these voxels; `mean` is the mean over voxels of r of A minus that of B.
    """

    r_a: Array
    r_b: Array
    voxels: Interval
    q: Array
    mean: float
    mean_interval: Interval

    @property
    def n_a_better(self) -> int:
        """In how many voxels A is above B at q < .05."""
        return int(((self.q < ALPHA) & (self.r_a > self.r_b)).sum())

    @property
    def n_b_better(self) -> int:
        """In how many voxels B is above A at q < .05."""
        return int(((self.q < ALPHA) & (self.r_b > self.r_a)).sum())


def compare_voxels(blocks: Iterable[PairedBlock], n_rows: Sequence[int], block_trs: int) -> Comparison:
    """Return the comparison over all blocks of voxels; `n_rows` are the rows of the test stories.

    Memory holds one block and a few numbers for each voxel.
    """
    story = block_stories(n_rows, block_trs)
    left_out = np.zeros(len(story))
    rows: list[tuple[Array, ...]] = []  # of each block: r of A, r of B, ends and p of the interval
    for block in blocks:
        a, b = (jackknife_r(predicted, block.measured, block_trs) for predicted in (block.a, block.b))
        difference = paired_difference(a, b)
        left_out += difference.left_out.sum(axis=1)
        interval = confidence(difference)
        rows.append((a.value, b.value, interval.low, interval.high, interval.p))
    r_a, r_b, low, high, p = (np.concatenate(values) for values in zip(*rows, strict=True))
    mean = Jackknife((r_a - r_b).mean(), left_out / len(r_a), story)
    return Comparison(r_a, r_b, Interval(low, high, p), q_values(p), float(mean.value), confidence(mean))


@dataclass(frozen=True)
class _GroupDifference:
    """The mean over `n` subjects of A minus B, its 95 % t interval (NaN for one subject), and sign-flip p of A above B.

    `smallest_p` is the lowest p that so many subjects can give: 2^-n.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    smallest_p: float
    n_above: int

    def claims(self, a: str, b: str) -> list[str]:
        """Return, in sentences, what can and what can't be said of models `a` and `b` in subjects not measured."""
        if self.n == 1:
            return ["1 subject: this says something about this subject and nothing about others."]
        numbers = (
            f"{self.n} subjects: mean difference {self.mean:+.4f}, 95 % t interval {self.low:+.4f} to "
            f"{self.high:+.4f}; {a} above {b} in {self.n_above}; sign-flip p {self.p:.3g}, "
            f"the smallest that {self.n} subjects can give is {self.smallest_p:.3g}."
        )
        if self.smallest_p > _P:
            claim = (
                f"Can't be said: that {a} is above {b} in the population of subjects; it takes 5 to reach p < .05. "
                "The t interval supposes normal differences, which so few can't show. "
                "Can be said: what the lines above say of each subject."
            )
        elif self.p < _P:
            claim = f"Can be said: {a} is above {b} in the population that these subjects were drawn from (one-sided)."
        else:
            claim = f"Can't be said: that {a} is above {b} in the population of subjects, nor that it isn't."
        return [numbers, claim]


def group_difference(differences: Sequence[float]) -> _GroupDifference:
    """Return what one difference a subject says of the population of subjects; at least one subject."""
    values = np.asarray(differences, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    half = math.nan
    if n > 1:
        half = float(stats.t.isf(_P / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return _GroupDifference(
        n, mean, mean - half, mean + half, _sign_flip_p(values), 2.0 ** -min(n, _EXACT_UP_TO), int((values > 0).sum())
    )


def _sign_flip_p(values: Array) -> float:
    """Return the share of all sign patterns whose mean is not below the mean of the values (one-sided).

    If A and B were alike in the population, each subject's difference could as well have had the other sign. Exact for
    up to 20 subjects; for more, p = (1 + patterns not below) / (1 + patterns) from 2^20 - 1 drawn ones.
    """
    tolerance = 1e-12 * np.abs(values).sum()  # sums in another order differ by rounding
    if len(values) <= _EXACT_UP_TO:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float((sums >= values.sum() - tolerance).mean())
    rng, n = np.random.default_rng(0), 2**_EXACT_UP_TO - 1
    sums = np.zeros(n)
    for value in values:
        sums += np.where(rng.random(n) < 0.5, value, -value)
    return float((1 + (sums >= values.sum() - tolerance).sum()) / (1 + n))
