"""Ridge regression with one penalty per target, chosen by cross-validation, from sufficient statistics alone.

    W = argmin ||Y - X W||^2 + alpha ||W||^2 = (X'X + alpha I)^-1 X'Y,        no intercept: X and Y are centred by story

With X'X = Q diag(l) Q' of a training set (one `eigh`), W of every alpha is Q u with u = Q'X'Y / (l + alpha). The
correlation of a prediction X_h W with the targets Y_h of held-out rows needs no rows either:

    cov = W'X_h'Y_h - n mean(X_h W) mean(Y_h),        var = W'X_h'X_h W - n mean(X_h W)^2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments

_RELATIVE_ZERO = 1e-10  # a variance below this share of the mean square is rounding


@dataclass(frozen=True)
class _Fold:
    """A training set (all parts but `parts`) in the basis of its eigenvectors, and the held-out rows in that basis."""

    parts: list[int]
    n_held: float
    eigenvalues: Array  # (p,)
    vectors: Array  # (p, p)
    held_x: Array  # (p,) sums
    held_xx: Array  # (p, p)


@dataclass(frozen=True)
class RidgePlan:
    """All that depends on the features alone; good for any number of targets on the same rows."""

    folds: tuple[_Fold, ...]
    eigenvalues: Array
    vectors: Array


def plan_ridge(moments: FeatureMoments, held: Sequence[Sequence[int]]) -> RidgePlan:
    """Return the eigenbases of the training sets without the parts of each entry of `held`, and of all rows."""
    total = moments.xx.sum(axis=0)
    folds = []
    for parts in map(list, held):
        held_xx, held_x = moments.xx[parts].sum(axis=0), moments.x[parts].sum(axis=0)
        eigenvalues, vectors = _eigh(total - held_xx)
        rotated = vectors.T @ held_xx @ vectors
        folds.append(_Fold(parts, moments.n[parts].sum(), eigenvalues, vectors, vectors.T @ held_x, rotated))
    return RidgePlan(tuple(folds), *_eigh(total))


def held_out_r(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> Array:
    """Return the correlation on each held-out set, (held-out sets, alphas, targets); 0 where nothing is predicted."""
    total = targets.xy.sum(axis=0)
    return np.stack([_fold_r(fold, targets, total, alphas) for fold in plan.folds])


def choose_alphas(scores: Array, alphas: Array) -> tuple[Array, Array]:
    """Return per target the alpha with the highest mean held-out r, and that r; among equals the first alpha.

    `scores` (held-out sets, alphas, targets) are those of `held_out_r`.
    """
    mean = scores.mean(axis=0)
    best = mean.argmax(axis=0)
    return alphas[best], np.take_along_axis(mean, best[None], axis=0)[0]


def solve(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> Array:
    """Return the weights (p, targets) fitted on all parts, with one alpha per target (targets,)."""
    rotated = plan.vectors.T @ targets.xy.sum(axis=0)
    return plan.vectors @ (rotated / (plan.eigenvalues[:, None] + alphas))


def row_space(design: Array) -> Array | None:
    """Return an orthonormal basis (p, r) of the rows of (n, p), r at most n; None unless p exceeds n.

    The weights lie in that space whatever the penalty, so X can be replaced by X basis, and W is basis times the
    weights found there: the same solution from n columns in place of p.
    """
    if design.shape[1] <= design.shape[0]:
        return None
    eigenvalues, vectors = _eigh(design @ design.T)
    kept = eigenvalues > _RELATIVE_ZERO * eigenvalues[-1]
    return design.T @ (vectors[:, kept] / np.sqrt(eigenvalues[kept]))


def _fold_r(fold: _Fold, targets: TargetMoments, total: Array, alphas: Array) -> Array:
    held_xy, held_y = targets.xy[fold.parts].sum(axis=0), targets.y[fold.parts].sum(axis=0)
    train, held = fold.vectors.T @ (total - held_xy), fold.vectors.T @ held_xy  # (p, targets)
    yy = targets.yy[fold.parts].sum(axis=0)
    var_y = yy - held_y**2 / fold.n_held
    scores = np.empty((len(alphas), total.shape[1]))
    for i, alpha in enumerate(alphas):
        weights = train / (fold.eigenvalues[:, None] + alpha)
        sums = fold.held_x @ weights
        squares = np.einsum("pv,pv->v", weights, fold.held_xx @ weights)
        cov = np.einsum("pv,pv->v", weights, held) - sums * held_y / fold.n_held
        var = squares - sums**2 / fold.n_held
        defined = (var > _RELATIVE_ZERO * squares) & (var_y > _RELATIVE_ZERO * yy)
        scores[i] = np.where(defined, cov / np.sqrt(np.where(defined, var * var_y, 1.0)), 0.0)
    return scores


def _eigh(matrix: Array) -> tuple[Array, NDArray[np.float64]]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    # Collinear features give eigenvalues that should be 0 and come out slightly negative.
    return np.maximum(eigenvalues, 0.0), vectors
