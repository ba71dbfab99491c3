"""Learning to rank, and scoring test queries by every method; what is learnt is learnt from train queries alone.

Weights that are not negative are learnt by a convex fit, so that the same data give the same weights. A query's scores
over documents are logits, and the relevant documents are what it should pick. Over weights w >= 0, minimised is

    mean over queries of [ logsumexp(s_q) - sum_d y_qd s_qd ]  +  penalty / 2 * mean_j (w_j - mean(w))^2

where s is linear in w and y_qd, a query's grades over their sum. The penalty draws weights to each other and not to 0:
without enough data the answer is "all alike", which is the unweighted score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.tasks.representations import Usual, answer_vectors
from qaemb.tasks.task import Values

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


class _Scorer(Protocol):
    """Scores that are linear in weights."""

    @property
    def n_weights(self) -> int:
        """The number of weights."""

    def scores(self, weights: Matrix) -> Matrix:
        """Return the scores (queries, documents)."""

    def gradient(self, pull: Matrix) -> Matrix:
        """Return sum over queries and documents of pull_qd * (d score_qd / d weights), (weights,)."""


@dataclass(frozen=True)
class _Products:
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

    def of(self, rows: NDArray[np.int64], columns: NDArray[np.bool_]) -> _Products:
        """Return the scorer of some queries and documents."""
        return _Products(self.queries[rows], self.documents[columns])


@dataclass(frozen=True)
class _Mixture:
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


def _fit_weights(scorer: _Scorer, judged: Judged, penalty: float, start: Matrix | None = None) -> Matrix:
    """Return the weights, >= 0, that minimise the loss above."""
    from scipy.optimize import minimize

    target, size = judged.target, scorer.n_weights

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        value, pull = _cross_entropy(scorer.scores(weights), target, judged.never)
        away = weights - weights.mean()
        gradient = scorer.gradient(pull / len(pull)) + penalty * away / size
        return value + penalty / 2 * (away @ away) / size, gradient

    begin, bounds = np.ones(size) if start is None else start, [(0.0, None)] * size
    result = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": _GRADIENT})
    return np.asarray(result.x, np.float64)


def _mean_loss(scores: Matrix, judged: Judged) -> float:
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


Rows = NDArray[np.int64]

ANSWERS, WEIGHTED = "answers", "answers_weighted"
MIXTURES = {
    "bm25+answers": ("bm25", WEIGHTED),
    "embedding+answers": ("embedding", WEIGHTED),
    "bm25+embedding": ("bm25", "embedding"),
    "bm25+embedding+answers": ("bm25", "embedding", WEIGHTED),
}
"""Combinations by name, and the methods in each."""

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
N_INNER = 5
N_STEPS = 2 * len(PENALTIES) * (N_INNER + 1)
"""Fits of question weights in a fold: with and without the mass, by penalty, in all inner folds and once after."""

_TINY = 1e-12


@dataclass(frozen=True)
class Problem:
    """Queries and documents as numbers. `plain`: scores (queries, documents) of methods that learn nothing.

    `query_margin`, `query_mass` (queries, questions), `margin`, `mass` (documents, questions).
    """

    plain: dict[str, Matrix]
    query_margin: Values
    query_mass: Values
    margin: Values
    mass: Values
    judged: Judged

    def of(self, rows: Rows, columns: NDArray[np.bool_]) -> Judged:
        """Return the grades of some queries and documents."""
        return Judged(self.judged.grades[np.ix_(rows, columns)], self.judged.never[np.ix_(rows, columns)])

    def outside(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which documents are none of some queries' own texts (documents,)."""
        return np.array(~self.judged.never[rows].any(axis=0))

    def learnable(self, rows: Rows, columns: NDArray[np.bool_]) -> Rows:
        """Return those of some queries that have a relevant one among some documents."""
        return rows[(self.judged.grades[np.ix_(rows, columns)] > 0).any(axis=1)]

    def products(self, train: Rows, counts_mass: bool) -> _Products:
        """Return the answers of all queries and documents as vectors, in units in which the plain cosine varies by 1.

        Queries are compared with what is usual of train queries: a query has another style than a document.
        """
        documents = Usual.of(self.margin)
        queries = Usual(Usual.of(self.query_margin[train]).centre, documents.scale)
        query_mass, mass = (mass if counts_mass else np.ones_like(mass) for mass in (self.query_mass, self.mass))
        products = _Products(
            answer_vectors(self.query_margin, query_mass, queries), answer_vectors(self.margin, mass, documents)
        )
        spread = products.scores(np.ones(products.n_weights))[train].std(axis=1).mean()
        return _Products(products.queries / max(spread, _TINY), products.documents)


@dataclass(frozen=True)
class Fold:
    """Queries to learn from and queries to test; `progress` is called N_STEPS times while the fold is learnt."""

    problem: Problem
    train: Rows
    test: Rows
    seed: int
    progress: Callable[[], object]


@dataclass(frozen=True)
class _Learnt:
    """Weights of the questions (questions,), and what was chosen: their penalty, and whether the mass counts.

    `products` of all queries and documents. `held_out`: the train queries' scores by weights learnt without them, and
    `loss`, the mean loss of these.
    """

    weights: Matrix
    penalty: float
    counts_mass: bool
    products: _Products
    held_out: Matrix
    loss: float


@dataclass(frozen=True)
class Fitted:
    """Scores of the test queries by method (test queries, documents), and what was learnt.

    `shares`: combination -> the weight of each of its methods. A question's contribution to the score of a query and a
    document is the product of its weight and the two's entries in `learnt.products`.
    """

    scores: dict[str, Matrix]
    shares: dict[str, Matrix]
    learnt: _Learnt


def fit_and_score(fold: Fold) -> Fitted:
    """Return the test queries' scores by every method. Documents that are test queries have no part in learning.

    BadInput if too few queries are left to learn from.
    """
    problem, test = fold.problem, fold.test
    never, seen = problem.judged.never, problem.outside(test)
    fold = replace(fold, train=problem.learnable(fold.train, seen))
    learnt = min((_learn(fold, counts_mass) for counts_mass in (True, False)), key=lambda one: one.loss)
    tested = learnt.products.of(test, np.ones(len(problem.margin), bool))
    scores = {name: values[test] for name, values in problem.plain.items()}
    scores |= {ANSWERS: tested.scores(np.ones(tested.n_weights)), WEIGHTED: tested.scores(learnt.weights)}
    trained = {name: values[fold.train] for name, values in problem.plain.items()} | {WEIGHTED: learnt.held_out}
    shares = {}
    for name, parts in MIXTURES.items():
        learning = np.stack([_per_query(trained[part], never[fold.train])[:, seen] for part in parts])
        shares[name] = _fit_weights(_Mixture(learning), problem.of(fold.train, seen), penalty=0.0)
        testing = np.stack([_per_query(scores[part], never[test]) for part in parts])
        scores[name] = _Mixture(testing).scores(shares[name])
    return Fitted(scores, shares, learnt)


def _per_query(scores: Matrix, never: NDArray[np.bool_]) -> Matrix:
    """Return scores with mean 0 and deviation 1 over each query's possible results; 0 where all are alike."""
    counted = np.where(never, np.nan, scores)
    away = scores - np.nanmean(counted, axis=1, keepdims=True)
    deviation = np.nanstd(counted, axis=1, keepdims=True)
    return np.where(deviation > _TINY, away / np.maximum(deviation, _TINY), 0.0)


def inner_folds(n: int, n_folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield (learn from, hold out) numbers of queries, each held out once, in a seeded random order."""
    order = np.random.default_rng(seed).permutation(n)
    for held in np.array_split(order, min(n_folds, n)):
        yield np.setdiff1d(order, held), np.sort(held)


def _learn(fold: Fold, counts_mass: bool) -> _Learnt:
    """Return the questions' weights with the penalty that has the least loss on held-out train queries.

    What the combinations learn from are the held-out scores: by the final weights, answers would look better on train
    queries than they are.
    """
    problem, train = fold.problem, fold.train
    products = problem.products(train, counts_mass)
    seen, everything = problem.outside(fold.test), np.ones(len(problem.margin), bool)
    total = np.zeros(len(PENALTIES))
    held_out = np.zeros((len(PENALTIES), len(train), len(problem.margin)))
    for learn, held in inner_folds(len(train), N_INNER, fold.seed):
        judged = problem.of(train[held], seen)
        for number, weights in enumerate(_path(fold, products, train[learn], np.append(fold.test, train[held]))):
            held_out[number, held] = products.of(train[held], everything).scores(weights)
            total[number] += _mean_loss(held_out[number, held][:, seen], judged) * len(held)
    best = int(total.argmin())
    weights = _path(fold, products, train, fold.test)[best]
    return _Learnt(weights, PENALTIES[best], counts_mass, products, held_out[best], float(total[best]) / len(train))


def _path(fold: Fold, products: _Products, learn: Rows, hidden: Rows) -> list[Matrix]:
    """Return the weights by penalty, each fit starting where the one with the next higher penalty ended."""
    seen = fold.problem.outside(hidden)
    rows = fold.problem.learnable(learn, seen)
    if not len(rows):
        raise BadInput("too few queries have a relevant document that is not a query itself to learn from them")
    scorer, judged = products.of(rows, seen), fold.problem.of(rows, seen)
    weights, by_penalty = None, []
    for penalty in reversed(PENALTIES):
        weights = _fit_weights(scorer, judged, penalty, weights)
        by_penalty.append(weights)
        fold.progress()
    return by_penalty[::-1]
