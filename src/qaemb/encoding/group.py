"""Claims about subjects as a population: each subject is one number, never its voxels pooled with those of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_P = 0.05
_EXACT_UP_TO = 20  # subjects: 2^20 sign patterns fit in memory; of more subjects as many patterns are drawn


@dataclass(frozen=True)
class GroupDifference:
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


def group_difference(differences: Sequence[float]) -> GroupDifference:
    """Return what one difference a subject says of the population of subjects; at least one subject."""
    values = np.asarray(differences, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    half = math.nan
    if n > 1:
        half = float(stats.t.isf(_P / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return GroupDifference(
        n, mean, mean - half, mean + half, sign_flip_p(values), 2.0 ** -min(n, _EXACT_UP_TO), int((values > 0).sum())
    )


def sign_flip_p(values: NDArray[np.float64]) -> float:
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


def claims(found: GroupDifference, a: str, b: str) -> list[str]:
    """Return, in sentences, what can and what can't be said about subjects that were not measured."""
    if found.n == 1:
        return ["1 subject: this says something about this subject and nothing about others."]
    said = [
        f"{found.n} subjects: mean difference {found.mean:+.4f}, 95 % t interval {found.low:+.4f} to "
        f"{found.high:+.4f}; {a} above {b} in {found.n_above}; sign-flip p {found.p:.3g}, "
        f"the smallest that {found.n} subjects can give is {found.smallest_p:.3g}."
    ]
    if found.smallest_p > _P:
        said.append(
            f"Can't be said: that {a} is above {b} in the population of subjects; it takes 5 to reach p < .05. "
            "The t interval supposes normal differences, which so few can't show. "
            "Can be said: what the lines above say of each subject."
        )
    elif found.p < _P:
        said.append(f"Can be said: {a} is above {b} in the population that these subjects were drawn from (one-sided).")
    else:
        said.append(f"Can't be said: that {a} is above {b} in the population of subjects, nor that it isn't.")
    return said
