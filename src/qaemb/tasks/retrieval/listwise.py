"""Learning to rank by weights that are not negative: a convex fit, so that the same data give the same weights.

The model: a query's scores over documents are logits, and the relevant documents are what it should pick. Over weights
w >= 0, minimised is

    mean over queries of [ logsumexp(s_q) - sum_d y_qd s_qd ]  +  penalty / 2 * mean_j (w_j - mean(w))^2

where s is linear in w and y_qd, a query's grades over their sum. The penalty draws weights to each other and not to 0:
without enough data the answer is "all alike", which is the unweighted score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_GRADIENT = 1e-6  # where a fit ends; with scipy's 1e-5 weights still depend on where it began
_LEAST = -1e6  # the score of what is never picked; finite, as 0 * infinity is not a number


@dataclass(frozen=True)
class Judged:
    """Grades (queries, documents), each query with some above 0, and the documents that are never a result of one."""

    grades: Matrix
    never: NDArray[np.bool_]

    @property
    def target(self) -> Matrix:
        """What share of a query's pick each document should have."""
        return self.grades / self.grades.sum(axis=1, keepdims=True)


class Scorer(Protocol):
    """Scores that are linear in weights."""

    @property
    def n_weights(self) -> int:
        """The number of weights."""

    def scores(self, weights: Matrix) -> Matrix:
        """Return the scores (queries, documents)."""

    def gradient(self, pull: Matrix) -> Matrix:
        """Return sum over queries and documents of pull_qd * (d score_qd / d weights), (weights,)."""


@dataclass(frozen=True)
class Products:
    """A weight per question: score = sum_j w_j query_qj document_dj (queries, questions), (documents, questions)."""

    queries: Matrix
    documents: Matrix

    @property
    def n_weights(self) -> int:
        """One per question."""
        return self.queries.shape[1]

    def scores(self, weights: Matrix) -> Matrix:
        """Return the scores (queries, documents)."""
        return (self.queries * weights) @ self.documents.T

    def gradient(self, pull: Matrix) -> Matrix:
        """Return the gradient (questions,)."""
        return np.asarray((self.queries * (pull @ self.documents)).sum(axis=0), np.float64)

    def of(self, rows: NDArray[np.int64], columns: NDArray[np.bool_]) -> Products:
        """Return the scorer of some queries and documents."""
        return Products(self.queries[rows], self.documents[columns])


@dataclass(frozen=True)
class Mixture:
    """A weight per method: score = sum_k w_k score_k; `parts` (methods, queries, documents)."""

    parts: Matrix

    @property
    def n_weights(self) -> int:
        """One per method."""
        return len(self.parts)

    def scores(self, weights: Matrix) -> Matrix:
        """Return the scores (queries, documents)."""
        return np.asarray(np.tensordot(weights, self.parts, axes=1), np.float64)

    def gradient(self, pull: Matrix) -> Matrix:
        """Return the gradient (methods,)."""
        return np.asarray(np.tensordot(self.parts, pull, axes=2), np.float64)


def fit_weights(scorer: Scorer, judged: Judged, penalty: float, start: Matrix | None = None) -> Matrix:
    """Return the weights, >= 0, that minimise the loss above."""
    from scipy.optimize import minimize

    target, size = judged.target, scorer.n_weights

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        value, pull = _cross_entropy(scorer.scores(weights), target, judged.never)
        away = weights - weights.mean()
        gradient = scorer.gradient(pull / len(pull)) + penalty * away / size
        return value + penalty / 2 * (away @ away) / size, gradient

    begin, bounds = np.ones(size) if start is None else start, [(0.0, None)] * size
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": _GRADIENT})
    return np.asarray(found.x, np.float64)


def mean_loss(scores: Matrix, judged: Judged) -> float:
    """Return the mean loss of some queries without the penalty: what penalties are compared by."""
    return _cross_entropy(scores, judged.target, judged.never)[0]


def _cross_entropy(scores: Matrix, target: Matrix, never: NDArray[np.bool_]) -> tuple[float, Matrix]:
    """Return the mean over queries of the loss, and its derivative by the scores times the number of queries."""
    scores = np.where(never, _LEAST, scores)
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    value = np.log(total[:, 0]) - (target * shifted).sum(axis=1)
    return float(value.mean()), exponentials / total - target
