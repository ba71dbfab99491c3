"""Solvers: what turns responses to the train stories into weights. Plain or banded ridge, from sums or by himalaya.

In banded ridge each feature space of a model has a penalty of its own (Nunez-Elizalde, Huth & Gallant, 2019). A penalty
per space is plain ridge on columns scaled by s_k = sqrt(gamma_k), one gamma a space. Gammas are searched at random on a
simplex (Dupre la Tour et al., 2022), the same candidates for all voxels; each voxel takes the candidate and the alpha
with the highest mean held-out correlation. Scaled columns scale the sums, so that a candidate costs what
cross-validation in ridge.py costs, and no pass over rows.

Engine `himalaya` fits ridge and banded ridge by himalaya on numpy, torch or a CUDA device: the same folds, penalties,
score and candidates as the project's solver, for devices that it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Floats, Integers
from qaemb.encoding.plan import FitPlan
from qaemb.encoding.recording import Recording, VoxelBlock
from qaemb.encoding.ridge import (
    FeatureMoments,
    RidgeFit,
    RidgePlan,
    TargetMoments,
    choose_alphas,
    fit_targets,
    plan_ridge,
)
from qaemb.encoding.ridge_cv import AT_ONCE, in_threads, shares_of
from qaemb.errors import BadParameter
from qaemb.settings import EncodeSettings

_GAIN = 1e-6  # in mean r: what a later candidate must add, so that rounding decides nothing
_TARGETS_AT_ONCE = 2048  # of himalaya


@dataclass(frozen=True)
class Solver:
    """`fit` returns weights of the design matrix for a block of voxels.

    `parallel`: many threads may call it, each with a BLAS of one thread; if not, it takes cores or device by itself.
    """

    fit: Callable[[VoxelBlock], RidgeFit]
    parallel: bool = True


def open_solver(
    recording: Recording, plan: FitPlan, settings: EncodeSettings, band_sizes: Sequence[int], scratch: Path
) -> Solver:
    """Return the solver that the settings ask for.

    `band_sizes`: features of each space that has a penalty of its own; empty for plain ridge, else `plan` must have no
    basis, as bands are sets of columns. `scratch` is a file for what does not fit into memory.
    """
    candidates = None
    if band_sizes:
        candidates = _band_candidates(band_sizes, len(recording.delays), settings.n_band_candidates, settings.seed)
    if settings.engine == "himalaya":
        return _himalaya_solver(plan, settings, candidates)
    if candidates:
        return _band_solver(recording, plan, settings, candidates, scratch)
    return plain_solver(plan, settings)


def plain_solver(plan: FitPlan, settings: EncodeSettings) -> Solver:
    """Return plain ridge from sums."""

    def fit(block: VoxelBlock) -> RidgeFit:
        return _from_basis(plan, fit_targets(plan.ridge, _moments(plan, block), settings.alphas))

    return Solver(fit)


def _from_basis(plan: FitPlan, fit: RidgeFit) -> RidgeFit:
    if plan.basis is None:
        return fit
    return replace(fit, weights=plan.basis.astype(fit.weights.dtype) @ fit.weights)


def _moments(plan: FitPlan, block: VoxelBlock) -> TargetMoments:
    return plan.partition.targets(plan.designs.items(), block.responses)


def _band_solver(
    recording: Recording, plan: FitPlan, settings: EncodeSettings, candidates: _Candidates, scratch: Path
) -> Solver:
    """Return banded ridge from sums. All voxels are searched here, before any is fitted.

    The products of all voxels (parts x voxels x columns) lie in the file `scratch`, not in memory.
    """
    shape = (plan.partition.n_parts, recording.responses.n_voxels, recording.n_columns)
    products = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.dtype(settings.precision), shape=shape)
    targets = TargetMoments(np.zeros(shape[:2]), np.zeros(shape[:2]), products.transpose(0, 2, 1))
    _fill(recording, plan, settings, targets)
    moments = plan.partition.features(recording.designs(), recording.n_columns)
    search = _search_bands(moments, targets, plan.partition.held, candidates, settings.alphas, settings.threads)
    return Solver(lambda block: search.fit(targets.targets(block.voxels), block.voxels))


def _fill(recording: Recording, plan: FitPlan, settings: EncodeSettings, targets: TargetMoments) -> None:
    """Write the moments of all voxels into `targets`."""
    with tqdm(total=recording.responses.n_voxels, desc="response products", unit="voxel", leave=False) as bar:
        for voxels in recording.blocks(settings.voxel_block):
            shares = recording.read(voxels, settings.precision).shares(AT_ONCE)
            results = in_threads(lambda share: _moments(plan, share), shares, settings.threads)
            for share, moments in zip(shares, results, strict=True):
                targets.y[:, share.voxels], targets.yy[:, share.voxels] = moments.y, moments.yy
                targets.xy[:, :, share.voxels] = moments.xy
                bar.update(len(share.valid))


@dataclass(frozen=True)
class _Candidates:
    """Gammas (candidates, bands) with mean 1 over the bands, and the band of each column (p,)."""

    gammas: Array
    band_of: Integers

    def scale(self, number: int) -> Array:
        """Return the factor of each column under one candidate, (p,)."""
        return np.sqrt(self.gammas[number])[self.band_of]


@dataclass(frozen=True)
class _BandSearch:
    """Per voxel the number of the best candidate, its alpha and mean held-out r; and each candidate's plan."""

    candidates: _Candidates
    best: Integers
    alpha: Array
    r: Array
    plans: list[RidgePlan]

    def fit(self, targets: TargetMoments, voxels: slice) -> RidgeFit:
        """Return the fit on all rows of some voxels, with weights of the columns as they were before scaling."""
        best, alpha = self.best[voxels], self.alpha[voxels]
        by_target = targets.xy.transpose(0, 2, 1).sum(axis=0)
        weights = np.zeros_like(by_target)
        for number in np.unique(best):
            inside, plan = best == number, self.plans[number]
            scale = self.candidates.scale(number).astype(by_target.dtype)
            rotated = (by_target[inside] * scale) @ plan.vectors
            rotated /= (plan.eigenvalues + alpha[inside][:, None]).astype(rotated.dtype)
            weights[inside] = (rotated @ plan.vectors.T) * scale
        return RidgeFit(weights.T, alpha, self.r[voxels], self.candidates.gammas[best].T)


def _band_candidates(sizes: Sequence[int], n_delays: int, n_samples: int, seed: int) -> _Candidates:
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
    return _Candidates(gammas / gammas.mean(axis=1, keepdims=True), np.tile(of_feature, n_delays))


def _search_bands(
    moments: FeatureMoments,
    targets: TargetMoments,
    held: Sequence[Sequence[int]],
    candidates: _Candidates,
    alphas: Array,
    threads: int | None = None,
) -> _BandSearch:
    """Return the best candidate and alpha of each target. `targets` may lie on the disk (a memory map)."""
    n_targets, dtype = targets.xy.shape[2], targets.xy.dtype
    best, alpha, r = np.zeros(n_targets, np.int64), np.zeros(n_targets), np.full(n_targets, -np.inf)
    shares, plans = shares_of(n_targets, AT_ONCE), []
    for number in tqdm(range(len(candidates.gammas)), desc="bands", unit="candidate", leave=False):
        scale = candidates.scale(number)
        scaled = FeatureMoments(moments.n, moments.x * scale, moments.xx * scale[:, None] * scale)
        plan = plan_ridge(scaled, held, dtype)

        def score(share: slice, plan: RidgePlan = plan, scale: Array = scale) -> tuple[Array, Array]:
            return choose_alphas(plan, _scaled(targets, share, scale), alphas)

        for share, (share_alpha, share_r) in zip(shares, in_threads(score, shares, threads), strict=True):
            better = share_r > r[share] + _GAIN
            best[share][better], alpha[share][better], r[share][better] = number, share_alpha[better], share_r[better]
        plans.append(RidgePlan((), plan.eigenvalues, plan.vectors))
    return _BandSearch(candidates, best, alpha, r, plans)


def _scaled(targets: TargetMoments, share: slice, scale: Array) -> TargetMoments:
    """Return the moments of some targets with scaled columns."""
    by_target = targets.xy.transpose(0, 2, 1)[:, share] * scale.astype(targets.xy.dtype)
    return TargetMoments(targets.y[:, share], targets.yy[:, share], by_target.transpose(0, 2, 1))


@dataclass(frozen=True)
class _Problem:
    """What himalaya fits: design matrix x (rows, columns), (train, held-out) rows of each fold, the penalties."""

    x: Floats
    splits: list[tuple[Integers, Integers]]
    alphas: Array

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that himalaya's solvers of plain and banded ridge share."""
        from himalaya.scoring import correlation_score

        batches = {"n_targets_batch": _TARGETS_AT_ONCE, "n_targets_batch_refit": _TARGETS_AT_ONCE, "n_alphas_batch": 1}
        return {"score_func": correlation_score, **batches, "warn": False}


def _himalaya_solver(plan: FitPlan, settings: EncodeSettings, candidates: _Candidates | None = None) -> Solver:
    """Return ridge, or banded ridge with these candidates, by himalaya on `encode.backend`."""
    rows = np.concatenate([plan.partition.part_of[story] for story in plan.designs])
    held_out = [np.isin(rows, parts) for parts in plan.partition.held]
    splits = [(np.flatnonzero(~held), np.flatnonzero(held)) for held in held_out]
    problem = _Problem(np.vstack(list(plan.designs.values())), splits, settings.alphas)

    def fit(block: VoxelBlock) -> RidgeFit:
        y = np.vstack([block.responses[story] for story in plan.designs])
        if candidates is None:
            return _from_basis(plan, _fit_himalaya(problem, y, settings.backend))
        return _fit_himalaya_bands(problem, y, candidates, settings.backend)

    return Solver(fit, parallel=False)


def _open_backend(name: str) -> Any:
    """Return himalaya's back end `numpy`, `torch` or `torch_cuda`; BadParameter if it can't be had here."""
    from himalaya.backend import set_backend

    try:
        return set_backend(name, on_error="raise")
    except (ImportError, RuntimeError, AssertionError) as error:
        raise BadParameter(f"encode.backend: {name} does not start here ({error}); take numpy or torch") from error


def _fit_himalaya(problem: _Problem, y: Floats, backend_name: str) -> RidgeFit:
    """Return plain ridge of y (rows, targets)."""
    from himalaya.ridge import RidgeCV

    backend = _open_backend(backend_name)
    model = RidgeCV(problem.alphas, fit_intercept=False, cv=problem.splits, solver_params=problem.parameters())
    model.fit(backend.asarray(problem.x), backend.asarray(y))
    weights, alpha, r = (backend.to_numpy(values) for values in (model.coef_, model.best_alphas_, model.cv_scores_))
    return RidgeFit(weights, alpha.astype(np.float64), r.ravel().astype(np.float64))


def _fit_himalaya_bands(problem: _Problem, y: Floats, candidates: _Candidates, backend_name: str) -> RidgeFit:
    """Return banded ridge of y (rows, targets)."""
    from himalaya.ridge import GroupRidgeCV

    backend = _open_backend(backend_name)
    parameters = problem.parameters() | {
        "n_iter": backend.asarray(candidates.gammas.astype(problem.x.dtype)),
        "alphas": backend.asarray(problem.alphas.astype(problem.x.dtype)),
        "progress_bar": False,
    }
    model = GroupRidgeCV(
        groups=candidates.band_of, fit_intercept=False, cv=problem.splits, solver_params=parameters, random_state=0
    )
    model.fit(backend.asarray(problem.x), backend.asarray(y))
    grouped, deltas, scores = (backend.to_numpy(values) for values in (model.coef_, model.deltas_, model.cv_scores_))
    weights = np.empty_like(grouped)
    weights[np.argsort(candidates.band_of, kind="stable")] = grouped  # himalaya puts the columns of a group together
    best = scores.argmax(axis=0)
    # deltas are log(gamma / alpha) of each band; any band gives the same alpha.
    alpha = candidates.gammas[best, 0] / np.exp(deltas[0].astype(np.float64))
    return RidgeFit(weights, alpha, scores.max(axis=0).astype(np.float64), candidates.gammas[best].T)
