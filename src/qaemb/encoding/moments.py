"""Sufficient statistics of ridge regression: sums of products over the rows of each part of the train rows.

Any training set is a sum of parts, so cross-validation needs one pass over the rows; a subset of the features is a
subset of rows and columns of these sums. All sums are float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
    xy: Array

    def subset(self, columns: NDArray[np.int64]) -> TargetMoments:
        """Return the moments with some columns of the design matrix; the targets stay."""
        return TargetMoments(self.y, self.yy, self.xy[:, columns])


def feature_moments(rows: Iterable[tuple[Array, NDArray[np.int64]]], n_parts: int, p: int) -> FeatureMoments:
    """Return the moments of a design matrix of `p` columns given in pieces: (rows, p), and the part of each row."""
    n, x, xx = np.zeros(n_parts), np.zeros((n_parts, p)), np.zeros((n_parts, p, p))
    for design, part_of in rows:
        for part in np.unique(part_of):
            own = design[part_of == part]
            n[part] += len(own)
            x[part] += own.sum(axis=0)
            xx[part] += own.T @ own
    return FeatureMoments(n, x, xx)


def target_moments(
    rows: Iterable[tuple[Array, Array, NDArray[np.int64]]], shape: tuple[int, int, int]
) -> TargetMoments:
    """Return the moments of targets given in pieces: design (rows, p), targets (rows, v), part of each row.

    `shape` is (parts, p, v).
    """
    n_parts, _, v = shape
    y, yy, xy = np.zeros((n_parts, v)), np.zeros((n_parts, v)), np.zeros(shape)
    for design, targets, part_of in rows:
        for part in np.unique(part_of):
            own = targets[part_of == part]
            y[part] += own.sum(axis=0)
            yy[part] += (own**2).sum(axis=0)
            xy[part] += design[part_of == part].T @ own
    return TargetMoments(y, yy, xy)
