"""What a feature adds that the others cannot: ridge without it, exactly, from the solution with it.

With B = (X'X + alpha I)^-1, W = B X'Y, and S the columns of a feature (all of its delays, or of several features), the
ridge solution without S at the same alpha is W - B[:, S] B[S, S]^-1 W[S], 0 in S (the inverse of a matrix without some
rows and columns, by its Schur complement). So predictions P = X_test W become

    P - (X_test B)[:, S] B[S, S]^-1 W[S]

and no model is fitted again. The penalty stays the one that was chosen with all features; a voxel whose best penalty
without S is another one loses a little less than is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.jackknife import Interval, Jackknife, Scorer, confidence
from qaemb.encoding.moments import Array
from qaemb.encoding.recording import delayed
from qaemb.encoding.ridge import Spectrum

Columns = NDArray[np.int64]


class LeaveOut:
    """Predictions of the test stories with all features and without each set of columns, for one train set."""

    def __init__(
        self, spectrum: Spectrum, test: Mapping[str, Array], delays: Sequence[int], sets: Sequence[Columns]
    ) -> None:
        """`test`: story -> z-scored features (n_trs, features); `sets`: columns of the delayed design matrix."""
        self.spectrum, self.sets = spectrum, list(sets)
        self._test = np.vstack([delayed(values, delays) for values in test.values()])
        self._edges = np.cumsum([len(values) for values in test.values()])[:-1]
        self._of_alpha: dict[float, tuple[Array, list[Array]]] = {}

    def predict(self, weights: Array) -> Array:
        """Return what weights (p, v) predict of all test rows, (rows, v)."""
        return self._test @ weights

    def without(self, number: int, predicted: Array, weights: Array, alphas: Array) -> Array:
        """Return what is predicted of all test rows without the set `number`, (rows, v); `alphas` (v,)."""
        changed = np.empty_like(predicted)
        columns = self.sets[number]
        for alpha in np.unique(alphas):
            own = alphas == alpha
            seen, inverses = self._at(float(alpha))
            moved = np.linalg.solve(inverses[number], weights[np.ix_(columns, own)])
            changed[:, own] = predicted[:, own] - seen[:, columns] @ moved
        return changed

    def stories(self, predicted: Array) -> list[Array]:
        """Return rows of all test stories cut into stories."""
        return np.split(predicted, self._edges)

    def _at(self, alpha: float) -> tuple[Array, list[Array]]:
        """Return X_test B (rows, p), and B[S, S] of each set, at one penalty."""
        if alpha not in self._of_alpha:
            inverse = self.spectrum.inverse(alpha)
            parts = [inverse[np.ix_(columns, columns)] for columns in self.sets]
            self._of_alpha[alpha] = (self._test @ inverse, parts)
        return self._of_alpha[alpha]


class Unique:
    """Contributions of sets of columns, block of voxels by block; keeps sums over the voxels of each scope."""

    def __init__(self, leave_out: LeaveOut, n_scopes: int, block_trs: int) -> None:
        self._leave_out, self._n_scopes, self._block_trs = leave_out, n_scopes, block_trs
        self._value = np.zeros((2, len(leave_out.sets), n_scopes))
        self._left_out: Array | None = None
        self._story: NDArray[np.int64] | None = None

    def add(self, xy: Array, measured: Sequence[Array], alphas: Array, member: Array) -> tuple[Array, Array]:
        """Return r of the whole model (v,), and what each set adds to r and to the share of variance, (2, sets, v).

        `xy` (p, v) is X'Y of the train stories; `measured`: story by story (n_trs, v), no NaN; `member` (v, scopes).
        """
        scorer = Scorer(measured, self._block_trs)
        if self._left_out is None:
            self._left_out = np.zeros((len(scorer.story), *self._value.shape))
            self._story = scorer.story
        weights = self._leave_out.spectrum.weights(xy, alphas)
        predicted = self._leave_out.predict(weights)
        whole, whole_left = scorer.score(self._leave_out.stories(predicted))
        added = np.empty((2, len(self._leave_out.sets), len(alphas)))
        for number in range(len(self._leave_out.sets)):
            other = self._leave_out.without(number, predicted, weights, alphas)
            value, left = scorer.score(self._leave_out.stories(other))
            added[:, number] = whole - value
            self._left_out[:, :, number] += ((whole_left - left) @ member).transpose(1, 0, 2)
        self._value += added @ member
        return whole[0], added

    def means(self, n_voxels: Array) -> tuple[Array, Interval]:
        """Return the means over the voxels of each scope, (2, sets, scopes), and their 95 % intervals.

        `n_voxels` (scopes,) is how many voxels each scope has. Call it after `add`.
        """
        assert self._left_out is not None
        assert self._story is not None
        mean = Jackknife(self._value / n_voxels, self._left_out / n_voxels, self._story)
        return mean.value, confidence(mean)
