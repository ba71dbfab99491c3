"""Engine `himalaya`: ridge and banded ridge by himalaya on numpy, torch or a CUDA device (Dupre la Tour et al., 2022).

The same folds, penalties, score and candidates as the project's own solver, for devices that it does not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.bands import Candidates
from qaemb.encoding.moments import Array
from qaemb.encoding.ridge_cv import RidgeFit
from qaemb.errors import BadParameter

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
