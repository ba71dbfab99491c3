"""Weights that are learnt: against a general solver, numerical gradients, and planted cases."""

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from qaemb.tasks.retrieval.fit import Judged, _cross_entropy, _fit_weights, _mean_loss, _Mixture, _Products


def planted(n_queries: int = 60, n_documents: int = 25, n_questions: int = 6, seed: int = 0):
    """Queries whose relevant document has their answers to questions 0 and 1; other answers are noise."""
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(n_documents, n_questions))
    queries = rng.normal(size=(n_queries, n_questions))
    relevant = rng.integers(n_documents, size=n_queries)
    queries[:, :2] = documents[relevant, :2] + 0.3 * rng.normal(size=(n_queries, 2))
    grades = np.zeros((n_queries, n_documents))
    grades[np.arange(n_queries), relevant] = 1.0
    return _Products(queries, documents), Judged(grades, np.zeros(grades.shape, bool))


def plain_loss(weights, scorer, judged, penalty):
    """The loss as the module's docstring writes it, query by query."""
    total = 0.0
    for scores, grades in zip(scorer.scores(weights), judged.grades, strict=True):
        total += np.log(np.exp(scores).sum()) - (grades / grades.sum() * scores).sum()
    return total / len(judged.grades) + penalty / 2 * np.mean((weights - weights.mean()) ** 2)


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_the_weights_are_those_of_a_general_solver_on_the_plain_loss(penalty):
    scorer, judged = planted()
    judged.grades[:, 3] += 0.5  # two relevant documents, of different grades
    weights = _fit_weights(scorer, judged, penalty)
    slow = minimize(
        plain_loss, np.ones(6), (scorer, judged, penalty), method="SLSQP", bounds=[(0, None)] * 6, tol=1e-12
    )
    assert weights == pytest.approx(slow.x, abs=2e-3)
    assert plain_loss(weights, scorer, judged, penalty) <= slow.fun + 1e-6


def test_questions_that_tell_get_the_weight_and_what_would_be_negative_gets_none():
    scorer, judged = planted()
    scorer.queries[:, 5] = -scorer.documents[judged.grades.argmax(1), 5]  # the relevant one answers the opposite
    weights = _fit_weights(scorer, judged, penalty=0.01)
    assert weights.min() >= 0
    assert weights[5] == 0
    assert weights[:2].min() > 3 * weights[2:].max()


def test_a_large_penalty_makes_all_weights_alike_and_not_zero():
    scorer, judged = planted()
    weights = _fit_weights(scorer, judged, penalty=1e6)
    assert weights == pytest.approx(np.full(6, weights.mean()), rel=1e-2)
    assert weights.mean() > 0.1


@pytest.mark.parametrize("kind", ["products", "mixture"])
def test_gradients_agree_with_differences(kind):
    scorer, judged = planted()
    if kind == "mixture":
        scorer = _Mixture(np.random.default_rng(1).normal(size=(3, *judged.grades.shape)))

    def value(weights):
        return _cross_entropy(scorer.scores(weights), judged.target, judged.never)[0]

    def gradient(weights):
        return scorer.gradient(_cross_entropy(scorer.scores(weights), judged.target, judged.never)[1]) / 60

    assert check_grad(value, gradient, np.linspace(0.2, 1.5, scorer.n_weights)) < 1e-5


def test_what_is_never_a_result_changes_nothing():
    scorer, judged = planted()
    never = np.zeros(judged.grades.shape, bool)
    never[:, 4] = judged.grades[:, 4] == 0
    wild = _Products(scorer.queries, scorer.documents.copy())
    wild.documents[4] *= 1000
    masked = Judged(judged.grades, never)
    keep = judged.grades[:, 4] == 0
    weights = np.linspace(0.5, 1.0, 6)
    assert _mean_loss(wild.scores(weights)[keep], Judged(judged.grades[keep], never[keep])) == pytest.approx(
        _mean_loss(scorer.scores(weights)[keep], Judged(judged.grades[keep], never[keep]))
    )
    assert masked.target.sum(axis=1) == pytest.approx(1.0)


def test_a_method_that_is_of_no_use_gets_next_to_no_weight():
    rng = np.random.default_rng(0)
    _, judged = planted()
    good = judged.grades * 2 + rng.normal(size=judged.grades.shape)
    weights = _fit_weights(_Mixture(np.stack([good, -good + rng.normal(size=good.shape)])), judged, penalty=0.0)
    assert weights[0] > 0.5
    assert weights[1] < 0.1 * weights[0]
