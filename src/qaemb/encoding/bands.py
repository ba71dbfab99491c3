"""Banded ridge: each feature space of a model has a penalty of its own (Nunez-Elizalde, Huth & Gallant, 2019).

A penalty per space is plain ridge on columns scaled by s_k = sqrt(gamma_k), one gamma a space. Gammas are searched at
random on a simplex (Dupre la Tour et al., 2022), the same candidates for all voxels; each voxel takes the candidate and
the alpha with the highest mean held-out correlation. Scaled columns scale the sufficient statistics, so that a
candidate costs what cross-validation in `ridge.py` costs, and no pass over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments
from qaemb.encoding.ridge import RidgePlan, choose_alphas, held_out_r, plan_ridge
from qaemb.encoding.ridge_cv import AT_ONCE, RidgeFit, in_threads

_GAIN = 1e-6  # in mean r: what a later candidate must add, so that rounding decides nothing


@dataclass(frozen=True)
class Candidates:
    """Gammas (candidates, bands) with mean 1 over the bands, and the band of each column (p,)."""

    gammas: Array
    band_of: NDArray[np.int64]

    def scale(self, number: int) -> Array:
        """Return the factor of each column under one candidate, (p,)."""
        return np.sqrt(self.gammas[number])[self.band_of]


@dataclass(frozen=True)
class BandSearch:
    """Per voxel the number of the best candidate, its alpha and mean held-out r; and each candidate's plan."""

    candidates: Candidates
    best: NDArray[np.int64]
    alpha: Array
    r: Array
    plans: list[RidgePlan]

    def fit(self, targets: TargetMoments, voxels: slice) -> RidgeFit:
        """Return the fit on all rows of some voxels, with weights of the columns as they were before scaling."""
        best, alpha = self.best[voxels], self.alpha[voxels]
        by_target = targets.xy.transpose(0, 2, 1).sum(axis=0)
        weights = np.zeros_like(by_target)
        for number in np.unique(best):
            own, plan = best == number, self.plans[number]
            scale = self.candidates.scale(number).astype(by_target.dtype)
            rotated = (by_target[own] * scale) @ plan.vectors
            rotated /= (plan.eigenvalues + alpha[own][:, None]).astype(rotated.dtype)
            weights[own] = (rotated @ plan.vectors.T) * scale
        return RidgeFit(weights.T, alpha, self.r[voxels], self.candidates.gammas[best].T)


def band_candidates(sizes: Sequence[int], n_delays: int, n_samples: int, seed: int) -> Candidates:
    """Return candidates for spaces of `sizes` features, joined and delayed: equal, each band all but alone, random.

    The first is plain ridge, so that a voxel whose bands need no different penalties keeps its model. The random ones
    are Dirichlet samples, half of them near the corners and edges, as himalaya draws them.
    """
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import generate_dirichlet_samples

    n_bands = len(sizes)
    set_backend("numpy")
    drawn = generate_dirichlet_samples(n_samples, n_bands, concentration=[0.1, 1.0], random_state=seed)
    corners = np.full((n_bands, n_bands), 0.001)
    np.fill_diagonal(corners, 1.0)
    gammas = np.vstack([np.ones((1, n_bands)), corners, np.asarray(drawn, dtype=np.float64)])
    of_feature = np.repeat(np.arange(n_bands), sizes)
    return Candidates(gammas / gammas.mean(axis=1, keepdims=True), np.tile(of_feature, n_delays))


def search_bands(
    moments: FeatureMoments,
    targets: TargetMoments,
    held: Sequence[Sequence[int]],
    candidates: Candidates,
    alphas: Array,
    threads: int | None = None,
) -> BandSearch:
    """Return the best candidate and alpha of each target. `targets` may lie on the disk (a memory map)."""
    n_targets, dtype = targets.xy.shape[2], targets.xy.dtype
    best, alpha, r = np.zeros(n_targets, np.int64), np.zeros(n_targets), np.full(n_targets, -np.inf)
    shares = [slice(start, start + AT_ONCE) for start in range(0, n_targets, AT_ONCE)]
    plans = []
    for number in tqdm(range(len(candidates.gammas)), desc="bands", unit="candidate", leave=False):
        scale = candidates.scale(number)
        plan = plan_ridge(_scaled(moments, scale), held, dtype)

        def score(own: slice, plan: RidgePlan = plan, scale: Array = scale) -> tuple[Array, Array]:
            part = TargetMoments(targets.y[:, own], targets.yy[:, own], _columns(targets, own, scale))
            return choose_alphas(held_out_r(plan, part, alphas), alphas)

        for own, (own_alpha, own_r) in zip(shares, in_threads(score, shares, threads), strict=True):
            better = own_r > r[own] + _GAIN
            best[own][better], alpha[own][better], r[own][better] = number, own_alpha[better], own_r[better]
        plans.append(RidgePlan((), plan.eigenvalues, plan.vectors))
    return BandSearch(candidates, best, alpha, r, plans)


def _scaled(moments: FeatureMoments, scale: Array) -> FeatureMoments:
    return FeatureMoments(moments.n, moments.x * scale, moments.xx * scale[:, None] * scale)


def _columns(targets: TargetMoments, own: slice, scale: Array) -> NDArray[np.floating]:
    """Return the products of some targets with scaled columns, (parts, p, targets)."""
    by_target = targets.xy.transpose(0, 2, 1)[:, own] * scale.astype(targets.xy.dtype)
    return by_target.transpose(0, 2, 1)
