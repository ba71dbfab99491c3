"""Ways to fit the same models: the same folds, penalties and score, and a refit on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoding.problems import ALPHAS
from qaemb.encoding.scores import correlation

_Floats = NDArray[Any]
_TRIAL_TARGETS = 2048


@dataclass(frozen=True)
class Problem:
    """Train rows x (rows, columns), y (rows, voxels), both float32, and the fold of each row."""

    x: _Floats
    y: _Floats
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """Weights (columns, voxels), chosen alphas (voxels,), their mean held-out r (voxels,), seconds, and settings."""

    weights: _Floats
    alpha: _Floats
    r: _Floats
    seconds: float
    settings: dict[str, Any]


def qaemb(problem: Problem) -> Fitted:
    """Fit with the project's solver in float32, as the stages do by default."""
    from qaemb.encoding.ridge_cv import ridge_cv

    start = time.perf_counter()
    found = ridge_cv(problem.x, problem.y, problem.fold, ALPHAS)
    return Fitted(found.weights, found.alpha, found.r, time.perf_counter() - start, {"dtype": "float32"})


def himalaya_numpy(problem: Problem) -> Fitted:
    """Fit with himalaya's RidgeCV on numpy."""
    return _himalaya(problem, "numpy")


def himalaya_torch(problem: Problem) -> Fitted:
    """Fit with himalaya's RidgeCV on torch, on the CPU."""
    return _himalaya(problem, "torch")


def scikit_learn(problem: Problem) -> Fitted:
    """Fit a Ridge per fold and penalty: RidgeCV of scikit-learn can't choose a penalty per target by folds."""
    from sklearn.linear_model import Ridge

    start = time.perf_counter()
    scores = np.zeros((len(ALPHAS), problem.y.shape[1]))
    n_folds = int(problem.fold.max()) + 1
    for held in range(n_folds):
        train, test = problem.fold != held, problem.fold == held
        x, y, x_held, y_held = problem.x[train], problem.y[train], problem.x[test], problem.y[test]
        for i, alpha in enumerate(ALPHAS):
            model = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(x, y)
            scores[i] += correlation(model.predict(x_held), y_held) / n_folds
    best = scores.argmax(axis=0)
    final = Ridge(alpha=ALPHAS[best], fit_intercept=False, solver="svd").fit(problem.x, problem.y)
    return Fitted(final.coef_.T, ALPHAS[best], scores.max(axis=0), time.perf_counter() - start, {"dtype": "float32"})


def svd_float64(problem: Problem) -> Fitted:
    """Fit the paper's way in float64, numpy's default: an SVD per held-out set, a prediction per penalty."""
    return _svd(problem, np.float64)


def svd_float32(problem: Problem) -> Fitted:
    """Fit the paper's way in float32."""
    return _svd(problem, np.float32)


PEERS: dict[str, Callable[[Problem], Fitted]] = {
    "qaemb": qaemb,
    "himalaya_numpy": himalaya_numpy,
    "himalaya_torch": himalaya_torch,
    "scikit_learn": scikit_learn,
    "svd_float64": svd_float64,
    "svd_float32": svd_float32,
}


def _himalaya(problem: Problem, backend: str) -> Fitted:
    from himalaya.backend import set_backend

    set_backend(backend)
    first = problem.fold == 0
    split = [(np.flatnonzero(~first), np.flatnonzero(first))]
    few = Problem(problem.x, problem.y[:, :_TRIAL_TARGETS], problem.fold)
    options = [(targets, alphas) for targets in (512, 2048) for alphas in (1, len(ALPHAS))]
    seconds = {batches: _himalaya_fit(few, split, batches).seconds for batches in options}
    best = min(seconds, key=lambda batches: seconds[batches])
    every = [(np.flatnonzero(problem.fold != i), np.flatnonzero(problem.fold == i)) for i in np.unique(problem.fold)]
    return _himalaya_fit(problem, every, best)


def _himalaya_fit(
    problem: Problem, splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]], batches: tuple[int, int]
) -> Fitted:
    from himalaya.backend import get_backend
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    own = {
        "score_func": correlation_score,
        "n_targets_batch": batches[0],
        "n_targets_batch_refit": batches[0],
        "n_alphas_batch": batches[1],
    }
    start = time.perf_counter()
    backend = get_backend()
    model = RidgeCV(ALPHAS, fit_intercept=False, cv=splits, solver_params=own)
    model.fit(backend.asarray(problem.x), backend.asarray(problem.y))
    seconds = time.perf_counter() - start
    weights, alpha, r = (backend.to_numpy(values) for values in (model.coef_, model.best_alphas_, model.cv_scores_))
    said = {"dtype": "float32", "n_targets_batch": batches[0], "n_alphas_batch": batches[1]}
    return Fitted(weights, alpha, r.ravel(), seconds, said)


def _svd(problem: Problem, dtype: type[np.floating]) -> Fitted:
    start = time.perf_counter()
    x, y = problem.x.astype(dtype), problem.y.astype(dtype)
    scores = np.zeros((len(ALPHAS), y.shape[1]))
    n_folds = int(problem.fold.max()) + 1
    for held in range(n_folds):
        train, test = problem.fold != held, problem.fold == held
        u, s, vt = np.linalg.svd(x[train], full_matrices=False)
        rotated, seen = u.T @ y[train], x[test] @ vt.T
        measured = _standardised(y[test])
        for i, alpha in enumerate(ALPHAS):
            predicted = (seen * (s / (s**2 + alpha)).astype(dtype)) @ rotated
            scores[i] += (measured * _standardised(predicted)).mean(axis=0) / n_folds
    best = scores.argmax(axis=0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    shrink = (s[:, None] / (s[:, None] ** 2 + ALPHAS[best])).astype(dtype)
    weights = vt.T @ (shrink * (u.T @ y))
    settings = {"dtype": np.dtype(dtype).name}
    return Fitted(weights, ALPHAS[best], scores.max(axis=0), time.perf_counter() - start, settings)


def _standardised(values: _Floats) -> _Floats:
    return (values - values.mean(axis=0)) / values.std(axis=0)
