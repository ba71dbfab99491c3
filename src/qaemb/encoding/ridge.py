"""The eigenbasis of X'X, from which ridge solutions and their inverses of any penalty follow.

Ridge regression with one penalty per target, chosen by cross-validation, from sufficient statistics alone.

    W = argmin ||Y - X W||^2 + alpha ||W||^2 = (X'X + alpha I)^-1 X'Y,        no intercept: X and Y are centred by story

With X'X = Q diag(l) Q' of a training set (one `eigh`), W of every alpha is Q u with u = t / (l + alpha), t = Q'X'Y. The
correlation of a prediction X_h W with the targets Y_h of held-out rows needs no rows either:

    cov = W'X_h'Y_h - n mean(X_h W) mean(Y_h),        var = W'X_h'X_h W - n mean(X_h W)^2 = |R u|^2

where R'R is the centred product of the held-out rows in the basis Q. R is a triangle (Cholesky), so that var of one
alpha, the bulk of the work, takes half of a full product; with few held-out rows R has only as many rows.

All decompositions are in float64. What grows with the targets is computed in the dtype of the plan; arrays of targets
lie in memory target by target, so that every sum over features runs over neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments

_RELATIVE_ZERO = 1e-10  # an eigenvalue of X X' below this share of the largest is rounding


@dataclass(frozen=True)
class Spectrum:
    """X'X = V diag(l) V' for (rows, p) X: `vectors` V (p, k) and `eigenvalues` l (k,); k < p where rows are few."""

    eigenvalues: Array
    vectors: Array

    def weights(self, xy: Array, alphas: Array) -> Array:
        """Return (X'X + alpha I)^-1 X'Y, (p, v), from X'Y (p, v) and one penalty a target (v,)."""
        return self.vectors @ self.coordinates(xy, alphas)

    def coordinates(self, xy: Array, alphas: Array) -> Array:
        """Return the weights in the eigenbasis, (k, v)."""
        return (self.vectors.T @ xy) / (self.eigenvalues[:, None] + alphas)

    def inverse(self, alpha: float) -> Array:
        """Return (X'X + alpha I)^-1, (p, p), for alpha above 0."""
        if self.vectors.shape[0] == self.vectors.shape[1]:
            return (self.vectors / (self.eigenvalues + alpha)) @ self.vectors.T
        # Directions that no row has are left to the penalty alone.
        found = (self.vectors * (-self.eigenvalues / (self.eigenvalues + alpha))) @ self.vectors.T
        found[np.diag_indices_from(found)] += 1.0
        return found / alpha


def spectrum_of_products(products: Array) -> Spectrum:
    """Return the spectrum of X'X (p, p)."""
    eigenvalues, vectors = np.linalg.eigh(products)
    # Collinear features give eigenvalues that should be 0 and come out slightly negative.
    return Spectrum(np.maximum(eigenvalues, 0.0), vectors)


def spectrum_of_rows(design: Array) -> Spectrum:
    """Return the spectrum of X'X from X (rows, p) by way of X X', which is smaller where p exceeds the rows."""
    eigenvalues, vectors = np.linalg.eigh(design @ design.T)
    kept = eigenvalues > _RELATIVE_ZERO * max(eigenvalues[-1], np.finfo(np.float64).tiny)
    return Spectrum(eigenvalues[kept], design.T @ (vectors[:, kept] / np.sqrt(eigenvalues[kept])))


_Floats = NDArray[np.floating]
_JITTER = 1e-13  # of the trace, added to the diagonal: a product of collinear features has no Cholesky factor
_ROWS = 192  # rows of R in one product; narrow ones skip more of the empty half


@dataclass(frozen=True)
class _Fold:
    """A training set (all parts but `parts`) in the basis of its eigenvectors, and the held-out rows in that basis."""

    parts: list[int]
    n_held: float
    eigenvalues: Array  # (p,)
    vectors: _Floats  # (p, p)
    held_x: Array  # (p,) sums
    root: _Floats  # (p, p) upper triangle, or (held-out rows, p)


@dataclass(frozen=True)
class RidgePlan:
    """All that depends on the features alone; good for any number of targets on the same rows."""

    folds: tuple[_Fold, ...]
    eigenvalues: Array
    vectors: _Floats


def plan_ridge(moments: FeatureMoments, held: Sequence[Sequence[int]], dtype: DTypeLike = np.float64) -> RidgePlan:
    """Return the eigenbases of the training sets without the parts of each entry of `held`, and of all rows.

    `dtype` is that of all that is computed with it later: float32 takes half the time and moves r by about 1e-6.
    """
    total = moments.xx.sum(axis=0)
    folds = tuple(_plan_fold(moments, total, list(parts), dtype) for parts in held)
    eigenvalues, vectors = _eigh(total)
    return RidgePlan(folds, eigenvalues, vectors.astype(dtype))


def held_out_r(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> Array:
    """Return the correlation on each held-out set, (held-out sets, alphas, targets); 0 where nothing is predicted."""
    by_target = targets.xy.transpose(0, 2, 1)
    total = by_target.sum(axis=0)
    return np.stack([_fold_r(fold, targets, total, alphas) for fold in plan.folds])


def choose_alphas(scores: Array, alphas: Array) -> tuple[Array, Array]:
    """Return per target the alpha with the highest mean held-out r, and that r; among equals the first alpha.

    `scores` (held-out sets, alphas, targets) are those of `held_out_r`.
    """
    mean = scores.mean(axis=0)
    best = mean.argmax(axis=0)
    return alphas[best], np.take_along_axis(mean, best[None], axis=0)[0]


def solve(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> _Floats:
    """Return the weights (p, targets) fitted on all parts, with one alpha per target (targets,)."""
    rotated = targets.xy.transpose(0, 2, 1).sum(axis=0) @ plan.vectors
    rotated /= (plan.eigenvalues + alphas[:, None]).astype(rotated.dtype)
    return (rotated @ plan.vectors.T).T


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


def _plan_fold(moments: FeatureMoments, total: Array, parts: list[int], dtype: DTypeLike) -> _Fold:
    n, held_x, held_xx = moments.n[parts].sum(), moments.x[parts].sum(axis=0), moments.xx[parts].sum(axis=0)
    eigenvalues, vectors = _eigh(total - held_xx)
    sums = vectors.T @ held_x
    centred = vectors.T @ held_xx @ vectors - np.outer(sums, sums) / n
    return _Fold(parts, n, eigenvalues, vectors.astype(dtype), sums, _root(centred, int(n)).astype(dtype))


def _root(product: Array, n_rows: int) -> Array:
    """Return R with R'R = `product` (p, p), which is of at most `n_rows` rows."""
    p = len(product)
    if n_rows < p // 2:
        eigenvalues, vectors = _eigh(product)
        return np.sqrt(eigenvalues[-n_rows:, None]) * vectors[:, -n_rows:].T
    jitter = _JITTER * np.trace(product) + np.finfo(np.float64).tiny
    return np.linalg.cholesky(product + jitter * np.eye(p)).T


def _fold_r(fold: _Fold, targets: TargetMoments, total: _Floats, alphas: Array) -> Array:
    held_xy = targets.xy.transpose(0, 2, 1)[fold.parts].sum(axis=0)  # (targets, p)
    held_y, yy = targets.y[fold.parts].sum(axis=0), targets.yy[fold.parts].sum(axis=0)
    train, held = (total - held_xy) @ fold.vectors, held_xy @ fold.vectors
    shrink = 1.0 / (fold.eigenvalues + alphas[:, None])  # (alphas, p)
    sums = (train @ (shrink * fold.held_x).T.astype(train.dtype)).T
    cov = ((train * held) @ shrink.T.astype(train.dtype)).T - sums * (held_y / fold.n_held)
    var_y = yy - held_y**2 / fold.n_held
    var = np.stack([_squares(fold.root, one.astype(train.dtype), train) for one in shrink])
    defined = (var > _RELATIVE_ZERO * (var + sums**2 / fold.n_held)) & (var_y > _RELATIVE_ZERO * yy)
    return np.where(defined, cov / np.sqrt(np.where(defined, var * var_y, 1.0)), 0.0)


def _squares(root: _Floats, shrink: _Floats, train: _Floats) -> Array:
    """Return |R diag(shrink) t|^2 of each target's t, (targets,), from `train` (targets, p)."""
    triangle = root.shape[0] == root.shape[1]
    squares = np.zeros(len(train))
    for start in range(0, len(root), _ROWS):
        first = start if triangle else 0
        rows = root[start : start + _ROWS, first:] * shrink[first:]
        predicted = train[:, first:] @ rows.T
        squares += np.einsum("vr,vr->v", predicted, predicted)
    return squares


def _eigh(matrix: Array) -> tuple[Array, Array]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    # Collinear features give eigenvalues that should be 0 and come out slightly negative.
    return np.maximum(eigenvalues, 0.0), vectors
