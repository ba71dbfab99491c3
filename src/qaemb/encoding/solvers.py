"""Solvers: what turns responses to the train stories into weights. Plain or banded ridge, from sums or by himalaya.

Engine `himalaya`: ridge and banded ridge by himalaya on numpy, torch or a CUDA device (Dupre la Tour et al., 2022).

The same folds, penalties, score and candidates as the project's own solver, for devices that it does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.bands import Candidates, band_candidates, search_bands
from qaemb.encoding.moments import Array, TargetMoments, target_moments
from qaemb.encoding.plan import FitPlan, alphas_of, recording_moments
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge_cv import AT_ONCE, RidgeFit, fit_targets, in_threads
from qaemb.errors import BadParameter
from qaemb.settings import EncodeSettings

Responses = Mapping[str, NDArray[Any]]  # story -> (n_trs, v), centred


@dataclass(frozen=True)
class Solver:
    """`fit` takes the responses of a block of voxels and which voxels they are; weights are of the design matrix.

    `parallel`: many threads may call it, each with a BLAS of one thread; if not, it takes cores or device by itself.
    """

    fit: Callable[[Responses, slice], RidgeFit]
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
        candidates = band_candidates(band_sizes, len(recording.delays), settings.n_band_candidates, settings.seed)
    if settings.engine == "himalaya":
        return himalaya_solver(plan, settings, candidates)
    if candidates:
        return band_solver(recording, plan, settings, candidates, scratch)
    return statistics_solver(plan, settings)


def statistics_solver(plan: FitPlan, settings: EncodeSettings) -> Solver:
    """Return plain ridge from sufficient statistics: ridge.py."""

    def fit(responses: Responses, voxels: slice) -> RidgeFit:
        del voxels
        return _from_basis(plan, fit_targets(plan.ridge, _moments(plan, responses), alphas_of(settings)))

    return Solver(fit)


def band_solver(
    recording: Recording, plan: FitPlan, settings: EncodeSettings, candidates: Candidates, scratch: Path
) -> Solver:
    """Return banded ridge from sufficient statistics: bands.py. All voxels are searched here, before any is fitted.

    The products of all voxels (parts x voxels x columns) lie in the file `scratch`, not in memory.
    """
    n_parts, n_voxels = plan.partition.n_parts, recording.responses.n_voxels
    shape = (n_parts, n_voxels, recording.n_columns)
    products = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.dtype(settings.precision), shape=shape)
    targets = TargetMoments(np.zeros(shape[:2]), np.zeros(shape[:2]), products.transpose(0, 2, 1))
    _fill(recording, plan, settings, targets)
    moments = recording_moments(recording, plan.partition)
    held, alphas = plan.partition.held, alphas_of(settings)
    search = search_bands(moments, targets, held, candidates, alphas, settings.threads)

    def fit(responses: Responses, voxels: slice) -> RidgeFit:
        del responses
        return search.fit(_part(targets, voxels), voxels)

    return Solver(fit)


def himalaya_solver(plan: FitPlan, settings: EncodeSettings, candidates: Candidates | None = None) -> Solver:
    """Return ridge, or banded ridge with these candidates, by himalaya on `encode.backend`."""
    rows = np.concatenate([plan.partition.part_of[story] for story in plan.designs])
    splits = [(np.flatnonzero(~np.isin(rows, own)), np.flatnonzero(np.isin(rows, own))) for own in plan.partition.held]
    problem = HimalayaProblem(np.vstack(list(plan.designs.values())), splits, alphas_of(settings))

    def fit(responses: Responses, voxels: slice) -> RidgeFit:
        del voxels
        y = np.vstack([responses[story] for story in plan.designs])
        if candidates is None:
            return _from_basis(plan, fit_himalaya(problem, y, settings.backend))
        return fit_himalaya_bands(problem, y, candidates, settings.backend)

    return Solver(fit, parallel=False)


def _from_basis(plan: FitPlan, found: RidgeFit) -> RidgeFit:
    if plan.basis is None:
        return found
    return replace(found, weights=plan.basis.astype(found.weights.dtype) @ found.weights)


def _moments(plan: FitPlan, responses: Responses) -> TargetMoments:
    rows = ((design, responses[story], plan.partition.part_of[story]) for story, design in plan.designs.items())
    n_columns = next(iter(plan.designs.values())).shape[1]
    n_voxels = next(iter(responses.values())).shape[1]
    return target_moments(rows, (plan.partition.n_parts, n_columns, n_voxels))


def _part(targets: TargetMoments, voxels: slice) -> TargetMoments:
    return TargetMoments(targets.y[:, voxels], targets.yy[:, voxels], targets.xy[:, :, voxels])


def _fill(recording: Recording, plan: FitPlan, settings: EncodeSettings, targets: TargetMoments) -> None:
    """Write the moments of all voxels into `targets`."""
    with tqdm(total=recording.responses.n_voxels, desc="response products", unit="voxel", leave=False) as shown:
        for voxels in recording.blocks(settings.voxel_block):
            responses, valid = recording.read(voxels, settings.precision)
            shares = [slice(start, min(start + AT_ONCE, len(valid))) for start in range(0, len(valid), AT_ONCE)]

            def moments(own: slice, responses: Responses = responses) -> TargetMoments:
                return _moments(plan, {story: values[:, own] for story, values in responses.items()})

            for own, found in zip(shares, in_threads(moments, shares, settings.threads), strict=True):
                place = slice(voxels.start + own.start, voxels.start + own.stop)
                targets.y[:, place], targets.yy[:, place] = found.y, found.yy
                targets.xy[:, :, place] = found.xy
            shown.update(len(valid))


_TARGETS_AT_ONCE = 2048
_Floats = NDArray[Any]
Splits = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class HimalayaProblem:
    """The design matrix x (rows, columns), (train rows, held-out rows) of each fold, and the penalties."""

    x: _Floats
    splits: Splits
    alphas: Array


def open_backend(name: str) -> Any:
    """Return himalaya's back end `numpy`, `torch` or `torch_cuda`; BadParameter if it can't be had here."""
    from himalaya.backend import set_backend

    try:
        return set_backend(name, on_error="raise")
    except (ImportError, RuntimeError, AssertionError) as error:
        raise BadParameter(f"encode.backend: {name} does not start here ({error}); take numpy or torch") from error


def fit_himalaya(problem: HimalayaProblem, y: _Floats, backend: str) -> RidgeFit:
    """Return plain ridge of y (rows, targets)."""
    from himalaya.ridge import RidgeCV

    own = open_backend(backend)
    model = RidgeCV(problem.alphas, fit_intercept=False, cv=problem.splits, solver_params=_parameters(problem))
    model.fit(own.asarray(problem.x), own.asarray(y))
    weights, alpha, r = (own.to_numpy(values) for values in (model.coef_, model.best_alphas_, model.cv_scores_))
    return RidgeFit(weights, alpha.astype(np.float64), r.ravel().astype(np.float64))


def fit_himalaya_bands(problem: HimalayaProblem, y: _Floats, candidates: Candidates, backend: str) -> RidgeFit:
    """Return banded ridge of y (rows, targets)."""
    from himalaya.ridge import GroupRidgeCV

    own = open_backend(backend)
    parameters = _parameters(problem) | {
        "n_iter": own.asarray(candidates.gammas.astype(problem.x.dtype)),
        "alphas": own.asarray(problem.alphas.astype(problem.x.dtype)),
        "progress_bar": False,
    }
    model = GroupRidgeCV(
        groups=candidates.band_of, fit_intercept=False, cv=problem.splits, solver_params=parameters, random_state=0
    )
    model.fit(own.asarray(problem.x), own.asarray(y))
    grouped, deltas, scores = (own.to_numpy(values) for values in (model.coef_, model.deltas_, model.cv_scores_))
    weights = np.empty_like(grouped)
    weights[np.argsort(candidates.band_of, kind="stable")] = grouped  # himalaya puts the columns of a group together
    best = scores.argmax(axis=0)
    # deltas are log(gamma / alpha) of each band; any band gives the same alpha.
    alpha = candidates.gammas[best, 0] / np.exp(deltas[0].astype(np.float64))
    return RidgeFit(weights, alpha, scores.max(axis=0).astype(np.float64), candidates.gammas[best].T)


def _parameters(problem: HimalayaProblem) -> dict[str, Any]:
    from himalaya.scoring import correlation_score

    batches = {"n_targets_batch": _TARGETS_AT_ONCE, "n_targets_batch_refit": _TARGETS_AT_ONCE, "n_alphas_batch": 1}
    return {"score_func": correlation_score, **batches, "warn": False}
