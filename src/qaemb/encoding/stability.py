"""What drives a voxel, signed, and how far other stories would change it: ridge weights over half-samples of stories.

Train stories are dealt into G groups of about equal rows, G a power of two. The G - 1 contrasts of a Hadamard matrix
split the groups into two halves so that every two contrasts are orthogonal (balanced half-samples: McCarthy, 1969). The
two halves of a split share no story. With w_a, w_b the weights from the two halves of a split, the mean over splits of

    ((w_a - w_b) / 2)^2

estimates the variance of a weight from all stories, with G - 1 degrees of freedom; for a statistic that is a mean over
groups of equal size it is exactly the variance among groups over G.

Each half is fitted at the voxel's own penalty, scaled with its rows (alpha times the half's share of the train rows),
so that halves estimate the same shrunken weights as all rows do. A feature's weight is the mean over its delays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from qaemb.arrays import Array, Mask
from qaemb.encoding.plan import Partition
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import FeatureMoments, Spectrum
from qaemb.errors import BadInput
from qaemb.folds import deal_by_size

_RELATIVE_ZERO = 1e-12  # a sum of squares below this share of the largest is rounding
_P_OUTSIDE = 0.025  # on each side of a 95 % interval


@dataclass(frozen=True)
class _Half:
    """Some groups of train stories: their share of the train rows, and their design matrix's spectrum."""

    groups: list[int]
    share: float
    spectrum: Spectrum


@dataclass(frozen=True)
class ResamplePlan:
    """All that depends on the features alone. `partition`: part of each row = group of its story; `full`: all groups.

    `halves`: 2 k and 2 k + 1 are the two halves of split k.
    """

    partition: Partition
    full: Spectrum
    halves: tuple[_Half, ...]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variances."""
        return self.partition.n_parts - 1


def _deal_stories(n_rows: Mapping[str, int], n_groups: int, seed: int) -> dict[str, int]:
    """Return story -> group, in the order of `n_rows`; at most `n_groups` groups, a power of two, none empty.

    BadInput if there are fewer than two stories.
    """
    if len(n_rows) < 2:
        raise BadInput(f"{len(n_rows)} train story can't be resampled; add train stories, or empty interpret.models")
    return deal_by_size(n_rows, min(n_groups, 2 ** (len(n_rows).bit_length() - 1)), seed)


def _half_samples(n_groups: int) -> Mask:
    """Return which groups are in each half, (2 (n_groups - 1), n_groups); rows 2 k and 2 k + 1 complement each other.

    >>> _half_samples(2).tolist()
    [[True, False], [False, True]]
    """
    contrasts = linalg.hadamard(n_groups)[1:] > 0
    return np.stack([contrasts, ~contrasts], axis=1).reshape(-1, n_groups)


def plan_resamples(recording: Recording, n_groups: int, seed: int) -> ResamplePlan:
    """Return the plan of a recording's train stories; BadInput if there are fewer than two.

    Memory: about (2 G - 1) p min(p, rows of a half) float64 for p columns of the design matrix.
    """
    rows = recording.train_rows()
    group_of = _deal_stories(rows, n_groups, seed)
    n_parts = max(group_of.values()) + 1
    members = _half_samples(n_parts)
    held = tuple(tuple(np.flatnonzero(~half).tolist()) for half in members)
    partition = Partition({story: np.full(n, group_of[story]) for story, n in rows.items()}, n_parts, held)
    in_group = np.zeros(n_parts)
    for story, n in rows.items():
        in_group[group_of[story]] += n
    total = float(in_group.sum())
    moments = None if recording.is_wide else partition.features(recording.designs(), recording.n_columns)
    halves = []
    for half in members:
        groups = np.flatnonzero(half).tolist()
        spectrum = _spectrum(recording, group_of, groups, moments)
        halves.append(_Half(groups, float(in_group[groups].sum()) / total, spectrum))
    return ResamplePlan(partition, _spectrum(recording, group_of, list(range(n_parts)), moments), tuple(halves))


def _spectrum(
    recording: Recording, group_of: Mapping[str, int], groups: list[int], moments: FeatureMoments | None
) -> Spectrum:
    """Return the spectrum of the rows of some groups, from whichever is smaller: products of columns, or of rows."""
    if moments is not None and recording.n_columns <= moments.n[groups].sum():
        return Spectrum.of_products(moments.xx[groups].sum(axis=0))
    return Spectrum.of_rows(np.vstack([design for story, design in recording.designs() if group_of[story] in groups]))


def _delay_mean(weights: Array, n_delays: int) -> Array:
    """Return weights (delays * features, ...) averaged over the delays, (features, ...)."""
    return weights.reshape(n_delays, -1, *weights.shape[1:]).mean(axis=0)


@dataclass(frozen=True)
class Stability:
    """Weights of v voxels, all (features, v).

    `weight`: fitted on all train stories; `reach`: half the width of its 95 % interval. `same_sign`: share of
    half-samples in which the sign is that of `weight` (.75 is expected of noise, as a half is part of the whole).
    `in_top`: share of half-samples in which |weight| is among the voxel's `top_k` largest.
    """

    weight: Array
    reach: Array
    same_sign: Array
    in_top: Array


@dataclass(frozen=True)
class ScopeMeans:
    """Means over the voxels of each scope, (features, scopes); `..._reach` is half the width of a 95 % interval.

    `importance`: the weight in one half of the stories times its sign in the other, in both directions, over all
    splits: near the mean |weight| where signs replicate, 0 on average for noise.
    """

    weight: Array
    weight_reach: Array
    importance: Array
    importance_reach: Array
    same_sign: Array
    in_top: Array


class Drivers:
    """Weights over half-samples, block of voxels by block; keeps sums over the voxels of each scope, not the voxels."""

    def __init__(self, plan: ResamplePlan, n_delays: int, n_features: int, n_scopes: int, top_k: int) -> None:
        self._plan, self._top_k = plan, min(top_k, n_features)
        self._t = float(stats.t.isf(_P_OUTSIDE, plan.freedom))
        self._full = _delay_mean_vectors(plan.full, n_delays)
        self._averaged = [_delay_mean_vectors(half.spectrum, n_delays) for half in plan.halves]
        shape = (n_features, n_scopes)
        self._signed, self._directed = (np.zeros((len(plan.halves), *shape)) for _ in range(2))
        self._weight, self._replicated, self._same_sign, self._in_top = (np.zeros(shape) for _ in range(4))

    def add(self, xy: Array, alphas: Array, member: Array) -> Stability:
        """Return the stability of a block of v voxels and add it to the sums.

        `xy` (groups, p, v): X'Y of each group of stories. `alphas` (v,). `member` (v, scopes): 1 where a voxel is in a
        scope, else 0.
        """
        weight = self._full @ self._plan.full.coordinates(xy.sum(axis=0), alphas)
        sign = np.sign(weight)
        squares, replicated, same, top = (np.zeros_like(weight) for _ in range(4))
        for first in range(0, len(self._plan.halves), 2):
            pair = [self._half(number, xy, alphas) for number in (first, first + 1)]
            squares += ((pair[0] - pair[1]) / 2) ** 2
            replicated += (np.sign(pair[0]) * pair[1] + np.sign(pair[1]) * pair[0]) / 2
            for number, half_weight in enumerate(pair, start=first):
                same += half_weight * sign > 0
                top += _largest(np.abs(half_weight), self._top_k)
                self._signed[number] += half_weight @ member
                self._directed[number] += (half_weight * sign) @ member
        n = len(self._plan.halves)
        stability = Stability(weight, self._t * np.sqrt(2 * squares / n), same / n, top / n)
        self._replicated += 2 * replicated @ member / n
        self._weight += weight @ member
        self._same_sign += stability.same_sign @ member
        self._in_top += stability.in_top @ member
        return stability

    def means(self, n_voxels: Array) -> ScopeMeans:
        """Return the means over all voxels so far; `n_voxels` (scopes,) is how many each scope has."""
        return ScopeMeans(
            self._weight / n_voxels,
            self._reach(self._signed) / n_voxels,
            self._replicated / n_voxels,
            self._reach(self._directed) / n_voxels,
            self._same_sign / n_voxels,
            self._in_top / n_voxels,
        )

    def _half(self, number: int, xy: Array, alphas: Array) -> Array:
        """Return the delay-averaged weights of one half, (features, v)."""
        half = self._plan.halves[number]
        half_xy = xy[half.groups].sum(axis=0)
        return self._averaged[number] @ half.spectrum.coordinates(half_xy, alphas * half.share)

    def _reach(self, sums: Array) -> Array:
        """Return t standard errors of sums (half-samples, ...), from the differences of the halves of each split."""
        return self._t * np.sqrt((((sums[0::2] - sums[1::2]) / 2) ** 2).mean(axis=0))


def _delay_mean_vectors(spectrum: Spectrum, n_delays: int) -> Array:
    """Return the eigenvectors averaged over delays, (features, k); 0 for features that never vary, not rounding."""
    size = _delay_mean(spectrum.vectors**2 @ spectrum.eigenvalues, n_delays)
    varies = size > _RELATIVE_ZERO * size.max()
    return np.where(varies[:, None], _delay_mean(spectrum.vectors, n_delays), 0.0)


def _largest(sizes: Array, k: int) -> Mask:
    """Return which of (features, v) are among the k largest of their column; none where all are 0."""
    edge = np.partition(sizes, len(sizes) - k, axis=0)[len(sizes) - k]
    return (sizes >= edge) & (sizes > 0)
