"""Sufficient statistics of ridge regression: sums of products over the rows of each part of the train rows.

Any training set is a sum of parts, so cross-validation needs one pass over the rows; a subset of the features is a
subset of rows and columns of these sums. Sums are float64, but for products with float32 targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_Floats = NDArray[np.floating]


@dataclass(frozen=True)
class FeatureMoments:
    """Per part: rows `n` (parts,), sums `x` (parts, p) and products `xx` (parts, p, p) of the design matrix."""

    n: Array
    x: Array
    xx: Array

    def subset(self, columns: NDArray[np.int64]) -> FeatureMoments:
        """Return the moments of some columns of the design matrix."""
        return FeatureMoments(self.n, self.x[:, columns], self.xx[:, columns[:, None], columns[None, :]])


@dataclass(frozen=True)
class TargetMoments:
    """Per part: sums `y` (parts, v) and `yy` (parts, v) of squares of targets, products `xy` (parts, p, v)."""

    y: Array
    yy: Array
    xy: _Floats

    def subset(self, columns: NDArray[np.int64]) -> TargetMoments:
        """Return the moments with some columns of the design matrix; the targets stay."""
        return TargetMoments(self.y, self.yy, self.xy[:, columns])


def feature_moments(rows: Iterable[tuple[Array, NDArray[np.int64]]], n_parts: int, p: int) -> FeatureMoments:
    """Return the moments of a design matrix of `p` columns given in pieces: (rows, p), and the part of each row."""
    n, x, xx = np.zeros(n_parts), np.zeros((n_parts, p)), np.zeros((n_parts, p, p))
    for design, part_of in rows:
        for part in np.unique(part_of):
            (own,) = _rows_of(part, part_of, design)
            n[part] += len(own)
            x[part] += own.sum(axis=0)
            xx[part] += own.T @ own
    return FeatureMoments(n, x, xx)


def target_moments(
    rows: Iterable[tuple[_Floats, _Floats, NDArray[np.int64]]], shape: tuple[int, int, int]
) -> TargetMoments:
    """Return the moments of targets given in pieces: design (rows, p), targets (rows, v), part of each row.

    `shape` is (parts, p, v). The products are float32 where both are, and lie in memory target by target.
    """
    n_parts, p, v = shape
    y, yy = np.zeros((n_parts, v)), np.zeros((n_parts, v))
    by_target: _Floats | None = None
    for design, targets, part_of in rows:
        if by_target is None:
            by_target = np.zeros((n_parts, v, p), np.result_type(design, targets))
        for part in np.unique(part_of):
            own_x, own_y = _rows_of(part, part_of, design, targets)
            y[part] += own_y.sum(axis=0, dtype=np.float64)
            yy[part] += np.einsum("nv,nv->v", own_y, own_y, dtype=np.float64)
            by_target[part] += own_y.T @ own_x
    xy = np.zeros((n_parts, v, p)) if by_target is None else by_target
    return TargetMoments(y, yy, xy.transpose(0, 2, 1))


def _rows_of(part: int, part_of: NDArray[np.int64], *arrays: _Floats) -> list[_Floats]:
    """Return the rows of one part; the arrays themselves where all rows are."""
    own = part_of == part
    return list(arrays) if own.all() else [values[own] for values in arrays]
