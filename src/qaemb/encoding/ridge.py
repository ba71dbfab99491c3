"""Ridge regression with one penalty per target, chosen by cross-validation, from sums of products alone.

    W = argmin ||Y - X W||^2 + alpha ||W||^2 = (X'X + alpha I)^-1 X'Y,        no intercept: X and Y are centred by story

The sums are taken over the rows of each part of the train rows. Any training set is a sum of parts, so cross-validation
needs one pass over the rows; a subset of the features is a subset of rows and columns of the sums.

With X'X = Q diag(l) Q' of a training set (one `eigh`), W of every alpha is Q u with u = t / (l + alpha), t = Q'X'Y. The
correlation of a prediction X_h W with the targets Y_h of held-out rows needs no rows either:

    cov = W'X_h'Y_h - n mean(X_h W) mean(Y_h),        var = W'X_h'X_h W - n mean(X_h W)^2 = |R u|^2

where R'R is the centred product of the held-out rows in the basis Q. R is a triangle (Cholesky), so that var of one
alpha, the bulk of the work, takes half of a full product; with few held-out rows R has only as many rows.

Sums and decompositions are float64. What grows with the targets is computed in the dtype of the plan; arrays of targets
lie in memory target by target, so that every sum over features runs over neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from qaemb.arrays import Array, Floats, Integers

RELATIVE_ZERO = 1e-10  # an eigenvalue or a variance below this share of the largest is rounding
_JITTER = 1e-13  # of the trace, added to the diagonal: a product of collinear features has no Cholesky factor
_ROWS = 192  # rows of R in one product; narrow ones skip more of the empty half


@dataclass(frozen=True)
class FeatureMoments:
    """Per part: rows `n` (parts,), sums `x` (parts, p) and products `xx` (parts, p, p) of the design matrix."""

    n: Array
    x: Array
    xx: Array

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Array, Integers]], n_parts: int, p: int) -> FeatureMoments:
        """Return the moments of a design matrix of `p` columns given in pieces: (rows, p), and the part of each row."""
        n, x, xx = np.zeros(n_parts), np.zeros((n_parts, p)), np.zeros((n_parts, p, p))
        for design, part_of in rows:
            for part in np.unique(part_of):
                (values,) = _rows_of(part, part_of, design)
                n[part] += len(values)
                x[part] += values.sum(axis=0)
                xx[part] += values.T @ values
        return cls(n, x, xx)

    def subset(self, columns: Integers) -> FeatureMoments:
        """Return the moments of some columns of the design matrix."""
        return FeatureMoments(self.n, self.x[:, columns], self.xx[:, columns[:, None], columns[None, :]])

    def parts(self, numbers: list[int]) -> FeatureMoments:
        """Return the moments of some parts, which are numbered anew."""
        return FeatureMoments(self.n[numbers], self.x[numbers], self.xx[numbers])


@dataclass(frozen=True)
class TargetMoments:
    """Per part: sums `y` (parts, v) and `yy` (parts, v) of squares of targets, products `xy` (parts, p, v)."""

    y: Array
    yy: Array
    xy: Floats

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Floats, Floats, Integers]], shape: tuple[int, int, int]) -> TargetMoments:
        """Return the moments of targets given in pieces: design (rows, p), targets (rows, v), part of each row.

        `shape` is (parts, p, v). The products are float32 where both are, and lie in memory target by target.
        """
        n_parts, p, v = shape
        y, yy = np.zeros((n_parts, v)), np.zeros((n_parts, v))
        by_target: Floats | None = None
        for design, targets, part_of in rows:
            if by_target is None:
                by_target = np.zeros((n_parts, v, p), np.result_type(design, targets))
            for part in np.unique(part_of):
                part_x, part_y = _rows_of(part, part_of, design, targets)
                y[part] += part_y.sum(axis=0, dtype=np.float64)
                yy[part] += np.einsum("nv,nv->v", part_y, part_y, dtype=np.float64)
                by_target[part] += part_y.T @ part_x
        xy = np.zeros((n_parts, v, p)) if by_target is None else by_target
        return cls(y, yy, xy.transpose(0, 2, 1))

    def subset(self, columns: Integers) -> TargetMoments:
        """Return the moments with some columns of the design matrix; the targets stay."""
        return TargetMoments(self.y, self.yy, self.xy[:, columns])

    def parts(self, numbers: list[int]) -> TargetMoments:
        """Return the moments of some parts, which are numbered anew."""
        return TargetMoments(self.y[numbers], self.yy[numbers], self.xy[numbers])

    def targets(self, numbers: slice) -> TargetMoments:
        """Return the moments of some targets."""
        return TargetMoments(self.y[:, numbers], self.yy[:, numbers], self.xy[:, :, numbers])


def eigenbasis(products: Array, least: float = 0.0) -> tuple[Array, Array]:
    """Return eigenvalues (k,), rising and at least 0, and eigenvectors (p, k) of a matrix of products (p, p).

    With `least` only eigenvalues above that share of the largest remain; the others are taken for rounding.
    """
    eigenvalues, vectors = np.linalg.eigh(products)
    # Collinear features give eigenvalues that should be 0 and come out slightly negative.
    eigenvalues = np.maximum(eigenvalues, 0.0)
    if not least:
        return eigenvalues, vectors
    large = eigenvalues > least * eigenvalues[-1]
    return eigenvalues[large], vectors[:, large]


@dataclass(frozen=True)
class Spectrum:
    """X'X = V diag(l) V' for (rows, p) X: `vectors` V (p, k) and `eigenvalues` l (k,); k < p where rows are few."""

    eigenvalues: Array
    vectors: Array

    @classmethod
    def of_products(cls, products: Array) -> Spectrum:
        """Return the spectrum of X'X (p, p)."""
        return cls(*eigenbasis(products))

    @classmethod
    def of_rows(cls, design: Array) -> Spectrum:
        """Return the spectrum of X'X from X (rows, p) by way of X X', which is smaller where p exceeds the rows.

        The vectors are then an orthonormal basis of the rows. The weights lie in that space whatever the penalty, so X
        can be replaced by X V, and W is V times the weights found there: the same solution from fewer columns.
        """
        eigenvalues, vectors = eigenbasis(design @ design.T, RELATIVE_ZERO)
        return cls(eigenvalues, design.T @ (vectors / np.sqrt(eigenvalues)))

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
        scaled = (self.vectors * (-self.eigenvalues / (self.eigenvalues + alpha))) @ self.vectors.T
        scaled[np.diag_indices_from(scaled)] += 1.0
        return scaled / alpha


@dataclass(frozen=True)
class _Fold:
    """A training set (all parts but `parts`) in the basis of its eigenvectors, and the held-out rows in that basis."""

    parts: list[int]
    n_held: float
    eigenvalues: Array  # (p,)
    vectors: Floats  # (p, p)
    held_x: Array  # (p,) sums
    root: Floats  # (p, p) upper triangle, or (held-out rows, p)


@dataclass(frozen=True)
class RidgePlan:
    """All that depends on the features alone; good for any number of targets on the same rows."""

    folds: tuple[_Fold, ...]
    eigenvalues: Array
    vectors: Floats


@dataclass(frozen=True)
class RidgeFit:
    """Weights (features, targets), and per target the chosen `alpha` and its mean held-out correlation `r`.

    `bands` (bands, targets), of banded ridge alone: the factor gamma that divides alpha for each band, with mean 1.
    """

    weights: Floats
    alpha: Array
    r: Array
    bands: Array | None = None


def plan_ridge(moments: FeatureMoments, held: Sequence[Sequence[int]], dtype: DTypeLike = np.float64) -> RidgePlan:
    """Return the eigenbases of the training sets without the parts of each entry of `held`, and of all rows.

    `dtype` is that of all that is computed with it later: float32 takes half the time and moves r by about 1e-6.
    """
    total = moments.xx.sum(axis=0)
    folds = tuple(_plan_fold(moments, total, list(parts), dtype) for parts in held)
    eigenvalues, vectors = eigenbasis(total)
    return RidgePlan(folds, eigenvalues, vectors.astype(dtype))


def fit_targets(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> RidgeFit:
    """Return the fit of targets on all parts, with the penalty of each chosen among `alphas` by `choose_alphas`."""
    alpha, r = choose_alphas(plan, targets, alphas)
    return RidgeFit(_solve(plan, targets, alpha), alpha, r)


def choose_alphas(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> tuple[Array, Array]:
    """Return per target the alpha with the highest mean r on the held-out sets, and that r; among equals the first."""
    mean = _held_out_r(plan, targets, alphas).mean(axis=0)
    best = mean.argmax(axis=0)
    return alphas[best], np.take_along_axis(mean, best[None], axis=0)[0]


def _held_out_r(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> Array:
    """Return the correlation on each held-out set, (held-out sets, alphas, targets); 0 where nothing is predicted."""
    by_target = targets.xy.transpose(0, 2, 1)
    total = by_target.sum(axis=0)
    return np.stack([_fold_r(fold, targets, total, alphas) for fold in plan.folds])


def _solve(plan: RidgePlan, targets: TargetMoments, alphas: Array) -> Floats:
    """Return the weights (p, targets) fitted on all parts, with one alpha per target (targets,)."""
    rotated = targets.xy.transpose(0, 2, 1).sum(axis=0) @ plan.vectors
    rotated /= (plan.eigenvalues + alphas[:, None]).astype(rotated.dtype)
    return (rotated @ plan.vectors.T).T


def _rows_of(part: int, part_of: Integers, *arrays: Floats) -> list[Floats]:
    """Return the rows of one part; the arrays themselves where all rows are."""
    inside = part_of == part
    return list(arrays) if inside.all() else [values[inside] for values in arrays]


def _plan_fold(moments: FeatureMoments, total: Array, parts: list[int], dtype: DTypeLike) -> _Fold:
    n, held_x, held_xx = moments.n[parts].sum(), moments.x[parts].sum(axis=0), moments.xx[parts].sum(axis=0)
    eigenvalues, vectors = eigenbasis(total - held_xx)
    sums = vectors.T @ held_x
    centred = vectors.T @ held_xx @ vectors - np.outer(sums, sums) / n
    return _Fold(parts, n, eigenvalues, vectors.astype(dtype), sums, _root(centred, int(n)).astype(dtype))


def _root(product: Array, n_rows: int) -> Array:
    """Return R with R'R = `product` (p, p), which is of at most `n_rows` rows."""
    p = len(product)
    if n_rows < p // 2:
        eigenvalues, vectors = eigenbasis(product)
        return np.sqrt(eigenvalues[-n_rows:, None]) * vectors[:, -n_rows:].T
    jitter = _JITTER * np.trace(product) + np.finfo(np.float64).tiny
    return np.linalg.cholesky(product + jitter * np.eye(p)).T


def _fold_r(fold: _Fold, targets: TargetMoments, total: Floats, alphas: Array) -> Array:
    held_xy = targets.xy.transpose(0, 2, 1)[fold.parts].sum(axis=0)  # (targets, p)
    held_y, yy = targets.y[fold.parts].sum(axis=0), targets.yy[fold.parts].sum(axis=0)
    train, held = (total - held_xy) @ fold.vectors, held_xy @ fold.vectors
    shrink = 1.0 / (fold.eigenvalues + alphas[:, None])  # (alphas, p)
    sums = (train @ (shrink * fold.held_x).T.astype(train.dtype)).T
    cov = ((train * held) @ shrink.T.astype(train.dtype)).T - sums * (held_y / fold.n_held)
    var_y = yy - held_y**2 / fold.n_held
    var = np.stack([_squares(fold.root, one.astype(train.dtype), train) for one in shrink])
    defined = (var > RELATIVE_ZERO * (var + sums**2 / fold.n_held)) & (var_y > RELATIVE_ZERO * yy)
    return np.where(defined, cov / np.sqrt(np.where(defined, var * var_y, 1.0)), 0.0)


def _squares(root: Floats, shrink: Floats, train: Floats) -> Array:
    """Return |R diag(shrink) t|^2 of each target's t, (targets,), from `train` (targets, p)."""
    triangle = root.shape[0] == root.shape[1]
    squares = np.zeros(len(train))
    for start in range(0, len(root), _ROWS):
        first = start if triangle else 0
        rows = root[start : start + _ROWS, first:] * shrink[first:]
        predicted = train[:, first:] @ rows.T
        squares += np.einsum("vr,vr->v", predicted, predicted)
    return squares
