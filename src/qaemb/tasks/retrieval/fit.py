"""Scoring test queries by every method; what is learnt is learnt from train queries alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.folds import held_out_in_turn, in_runs
from qaemb.tasks.representations import Usual, answer_vectors
from qaemb.tasks.retrieval.listwise import Judged, Mixture, Products, fit_weights, mean_loss
from qaemb.tasks.task import Values

Matrix = NDArray[np.float64]
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

    def products(self, train: Rows, counts_mass: bool) -> Products:
        """Return the answers of all queries and documents as vectors, in units in which the plain cosine varies by 1.

        Queries are compared with what is usual of train queries: a query has another style than a document.
        """
        documents = Usual.of(self.margin)
        queries = Usual(Usual.of(self.query_margin[train]).centre, documents.scale)
        asked, held = (own if counts_mass else np.ones_like(own) for own in (self.query_mass, self.mass))
        products = Products(
            answer_vectors(self.query_margin, asked, queries), answer_vectors(self.margin, held, documents)
        )
        spread = products.scores(np.ones(products.n_weights))[train].std(axis=1).mean()
        return Products(products.queries / max(spread, _TINY), products.documents)


@dataclass(frozen=True)
class Fold:
    """Queries to learn from and queries to test; `told` is called N_STEPS times while the fold is learnt."""

    problem: Problem
    train: Rows
    test: Rows
    seed: int
    told: Callable[[], object]


@dataclass(frozen=True)
class Learnt:
    """Weights of the questions (questions,), and what was chosen: their penalty, and whether the mass counts.

    `products` of all queries and documents. `held_out`: the train queries' scores by weights learnt without them, and
    `loss`, the mean loss of these.
    """

    weights: Matrix
    penalty: float
    counts_mass: bool
    products: Products
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
    learnt: Learnt


def fit_and_score(fold: Fold) -> Fitted:
    """Return the test queries' scores by every method. Documents that are test queries have no part in learning.

    BadInput if too few queries are left to learn from.
    """
    problem, test = fold.problem, fold.test
    never, seen = problem.judged.never, problem.outside(test)
    fold = replace(fold, train=problem.learnable(fold.train, seen))
    learnt = min((_learn(fold, counts_mass) for counts_mass in (True, False)), key=lambda one: one.loss)
    asked = learnt.products.of(test, np.ones(len(problem.margin), bool))
    scores = {name: own[test] for name, own in problem.plain.items()}
    scores |= {ANSWERS: asked.scores(np.ones(asked.n_weights)), WEIGHTED: asked.scores(learnt.weights)}
    known = {name: own[fold.train] for name, own in problem.plain.items()} | {WEIGHTED: learnt.held_out}
    shares = {}
    for name, parts in MIXTURES.items():
        learning = np.stack([per_query(known[part], never[fold.train])[:, seen] for part in parts])
        shares[name] = fit_weights(Mixture(learning), problem.of(fold.train, seen), penalty=0.0)
        testing = np.stack([per_query(scores[part], never[test]) for part in parts])
        scores[name] = Mixture(testing).scores(shares[name])
    return Fitted(scores, shares, learnt)


def per_query(scores: Matrix, never: NDArray[np.bool_]) -> Matrix:
    """Return scores with mean 0 and deviation 1 over each query's possible results; 0 where all are alike."""
    counted = np.where(never, np.nan, scores)
    away = scores - np.nanmean(counted, axis=1, keepdims=True)
    deviation = np.nanstd(counted, axis=1, keepdims=True)
    return np.where(deviation > _TINY, away / np.maximum(deviation, _TINY), 0.0)


def _learn(fold: Fold, counts_mass: bool) -> Learnt:
    """Return the questions' weights with the penalty that has the least loss on held-out train queries.

    What the combinations learn from are the held-out scores: by the final weights, answers would look better on train
    queries than they are.
    """
    problem, train = fold.problem, fold.train
    products = problem.products(train, counts_mass)
    seen, everything = problem.outside(fold.test), np.ones(len(problem.margin), bool)
    total = np.zeros(len(PENALTIES))
    held_out = np.zeros((len(PENALTIES), len(train), len(problem.margin)))
    for learn, held in held_out_in_turn(in_runs(len(train), N_INNER, fold.seed)):
        own = problem.of(train[held], seen)
        for number, weights in enumerate(_path(fold, products, train[learn], np.append(fold.test, train[held]))):
            held_out[number, held] = products.of(train[held], everything).scores(weights)
            total[number] += mean_loss(held_out[number, held][:, seen], own) * len(held)
    best = int(total.argmin())
    weights = _path(fold, products, train, fold.test)[best]
    return Learnt(weights, PENALTIES[best], counts_mass, products, held_out[best], float(total[best]) / len(train))


def _path(fold: Fold, products: Products, learn: Rows, hidden: Rows) -> list[Matrix]:
    """Return the weights by penalty, each fit starting where the one with the next higher penalty ended."""
    seen = fold.problem.outside(hidden)
    rows = fold.problem.learnable(learn, seen)
    if not len(rows):
        raise BadInput("too few queries have a relevant document that is not a query itself to learn from them")
    scorer, judged = products.of(rows, seen), fold.problem.of(rows, seen)
    weights, found = None, []
    for penalty in reversed(PENALTIES):
        weights = fit_weights(scorer, judged, penalty, weights)
        found.append(weights)
        fold.told()
    return found[::-1]
