"""Greedy forward selection: at each step the question that raises held-out r most, from sums alone.

A question is a block of columns, one per delay. For a training set and a penalty a, let S be the columns chosen so far
and Z = X - X_S (X_S'X_S + aI)^-1 X_S'X what is left of all columns. Then G = X'X + aI and R = X'Y, both less their
part through S, give for every candidate c at once the weights w = G_cc^-1 R_c of its block, and the new prediction on
the held-out rows is the old one, f, plus Z_c w. So r of all candidates needs only R, the diagonal blocks of G, and sums
over held-out rows of products of Z, f and Y; a question added changes each by a matrix of rank "number of delays".
A candidate's r of a voxel is the mean over the held-out folds at the penalty that is best for it, as where the final
ridge is fitted; the step is decided by the mean over voxels and subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array
from qaemb.encoding.ridge import RELATIVE_ZERO, FeatureMoments, TargetMoments


@dataclass(frozen=True)
class RidgeSums:
    """One subject's sums over parts of the train rows, and which of these `parts` are in the training set.

    Columns are (delays, questions), as in the design matrix.
    """

    features: FeatureMoments
    targets: TargetMoments
    parts: tuple[int, ...]


def greedy_order(subjects: Sequence[RidgeSums], n_questions: int, alphas: Array, size: int) -> list[int]:
    """Return the first `size` questions in order of entry; each part of the training set is held out once."""
    states = [
        [[_Fit(sums, n_questions, part, float(alpha)) for part in sums.parts] for alpha in alphas] for sums in subjects
    ]
    order: list[int] = []
    for _ in tqdm(range(size), desc="greedy", unit="question", leave=False):
        scores = np.mean([_mean_r(fits) for fits in states], axis=0)
        scores[order] = -np.inf
        order.append(int(scores.argmax()))
        for fit in (fit for fits in states for folds in fits for fit in folds):
            fit.add(order[-1])
    return order


def _mean_r(fits: Sequence[Sequence[_Fit]]) -> Array:
    """Return each candidate's mean over voxels of the mean over folds of r at the best penalty, (questions,)."""
    best = None
    for folds in fits:
        mean = np.mean([fit.candidates_r() for fit in folds], axis=0)
        best = mean if best is None else np.maximum(best, mean)
    return np.zeros(0) if best is None else best.mean(axis=1)


@dataclass
class _Held:
    """Sums over held-out rows: of Z (p d,), f (v,); of products Z'Z, Z'Y, Z'f, f Y, f f."""

    n: float
    y: Array
    var_y: Array
    z: Array
    zz: Array
    zy: Array
    zf: Array
    f: Array
    fy: Array
    ff: Array


class _Fit:
    """A ridge fit on all parts of a training set but one, and its prediction of that one; questions can be added."""

    def __init__(self, sums: RidgeSums, n_questions: int, part: int, alpha: float) -> None:
        features, targets = sums.features, sums.targets
        p = features.x.shape[1]
        columns = np.arange(p).reshape(-1, n_questions).T.ravel()  # question by question
        square = np.ix_(columns, columns)
        self.blocks = (n_questions, p // n_questions)
        others = [other for other in sums.parts if other != part]
        self.gram = features.xx[others].sum(axis=0)[square] + alpha * np.eye(p)
        self.cross = targets.xy[others].sum(axis=0)[columns]
        n, y, yy = float(features.n[part]), targets.y[part], targets.yy[part]
        var_y = yy - y**2 / n
        zeros = np.zeros(len(y))
        self.held = _Held(
            n=n,
            y=y,
            var_y=np.where(var_y > RELATIVE_ZERO * yy, var_y, 0.0),
            z=features.x[part][columns],
            zz=features.xx[part][square],
            zy=targets.xy[part][columns],
            zf=np.zeros((p, len(y))),
            f=zeros,
            fy=zeros,
            ff=zeros,
        )

    def candidates_r(self) -> Array:
        """Return r on the held-out part after adding each question, (questions, voxels); 0 where it is undefined."""
        held, blocks = self.held, self.blocks
        weights = np.linalg.solve(self._diagonal(self.gram), self.cross.reshape(*blocks, -1))
        squares = np.einsum("pdv,pdv->pv", weights, self._diagonal(held.zz) @ weights)
        ff = held.ff + 2.0 * np.einsum("pdv,pdv->pv", weights, held.zf.reshape(*blocks, -1)) + squares
        fy = held.fy + np.einsum("pdv,pdv->pv", weights, held.zy.reshape(*blocks, -1))
        f = held.f + np.einsum("pdv,pd->pv", weights, held.z.reshape(blocks))
        var = ff - f**2 / held.n
        defined = (var > RELATIVE_ZERO * ff) & (held.var_y > 0)
        return np.where(defined, (fy - f * held.y / held.n) / np.sqrt(np.where(defined, var * held.var_y, 1.0)), 0.0)

    def add(self, question: int) -> None:
        """Add a question to the model: its part goes out of everything that is left."""
        held, n_delays = self.held, self.blocks[1]
        block = slice(question * n_delays, (question + 1) * n_delays)
        inverse = np.linalg.inv(self.gram[block, block])
        weights, through = inverse @ self.cross[block], inverse @ self.gram[block]
        held.fy = held.fy + (weights * held.zy[block]).sum(axis=0)
        held.ff = held.ff + (weights * (2.0 * held.zf[block] + held.zz[block, block] @ weights)).sum(axis=0)
        held.f = held.f + held.z[block] @ weights
        held.zf = held.zf + held.zz[:, block] @ weights
        held.zf -= through.T @ held.zf[block]
        held.zy = held.zy - through.T @ held.zy[block]
        held.z = held.z - through.T @ held.z[block]
        shared = held.zz[:, block] @ through
        held.zz = held.zz - shared - shared.T + through.T @ held.zz[block, block] @ through
        self.cross = self.cross - self.gram[:, block] @ weights
        self.gram = self.gram - self.gram[:, block] @ through
        self.gram[block, block] = np.eye(n_delays)  # nothing is left there; so its block can still be inverted

    def _diagonal(self, matrix: Array) -> Array:
        """Return the block of each question, (questions, delays, delays)."""
        n, d = self.blocks
        each = np.arange(n)
        return matrix.reshape(n, d, n, d)[each, :, each]
