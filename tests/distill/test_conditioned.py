"""The score for any question against the slow form of its closed solution, and on planted questions."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from qaemb.answers.students.parts import kernel
from qaemb.distill.cells import TeacherCells
from qaemb.distill.conditioned import ConditionedSettings, QuestionVectors, fit_conditioned, refit_conditioned
from qaemb.errors import BadInput

N, D, Q = 500, 8, 24


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def planted():
    """Texts and questions in one space; a question's weights are a smooth but not the plain function of its vector."""
    rng = np.random.default_rng(0)
    vectors, questions = unit(rng.standard_normal((N, D))), unit(rng.standard_normal((Q, D)))
    turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
    margin = 12 * vectors @ (questions @ turn).T - 2
    labels = (rng.random((N, Q)) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    groups = [f"story{row % 10}" for row in range(N)]
    cells = TeacherCells(["x"] * N, [f"Is it {q}?" for q in range(Q)], labels, np.ones(labels.shape, bool), groups)
    held = np.flatnonzero(np.arange(N) % 10 < 3)
    return vectors, cells, np.setdiff1d(np.arange(N), held), held, QuestionVectors(questions, questions.mean(0))


ONE = ConditionedSettings(widths=(0.7,), penalties=(2.0,), smoothings=(0.2,), n_folds=4)


def test_margins_are_those_of_kernel_ridge_regression_written_out(planted):
    vectors, cells, train, held, questions = planted
    found = fit_conditioned(vectors, cells, train, held, questions, ONE).conditioned
    x, y = vectors[train].astype(float), cells.labels[train].astype(float)
    weights = Ridge(alpha=2.0, fit_intercept=True).fit(x, y).coef_.T  # centring both is an intercept
    gram = np.array([[np.exp(-0.7 * ((a - b) ** 2).sum()) for b in questions.taught] for a in questions.taught])
    new = unit(np.random.default_rng(9).standard_normal((3, D)))
    near = np.array([[np.exp(-0.7 * ((q - a) ** 2).sum()) for a in questions.taught] for q in new])
    learnt = (vectors[held] - x.mean(0)) @ weights @ np.linalg.solve(gram + 0.2 * np.eye(Q), near.T)
    similar = vectors[held] @ (new - questions.reference).T
    expected = found.scale * learnt + found.parts[0] * similar + found.bias
    np.testing.assert_allclose(found.margins(vectors[held], new, questions.reference), expected, atol=2e-3)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_mix_is_scikit_learns_logistic_regression_of_left_out_questions(planted, share):
    vectors, cells, train, held, questions = planted
    fitted = fit_conditioned(vectors, cells, train, held, questions, replace(ONE, learnt_share=share))
    learnt, similar, labels = left_out(planted)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(np.stack([learnt, similar], 1), labels)
    weights, bias = oracle.coef_[0], oracle.intercept_[0]
    if share < 1:  # slope and bias are fitted again to what is left
        mixed = share * weights[0] * learnt + weights[1] * similar
        oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(mixed[:, None], labels)
        weights, bias = oracle.coef_[0] * weights * [share, 1.0], oracle.intercept_[0]
    found = fitted.conditioned
    np.testing.assert_allclose([found.scale, found.parts[0]], weights, rtol=0.02, atol=0.02)
    assert found.bias == pytest.approx(bias, abs=0.02)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_trust_is_in_the_score_that_is_answered_with(planted, share):
    """AUC per left-out question is of the margin with that share, not of the whole learnt score."""
    vectors, cells, train, held, questions = planted
    fitted = fit_conditioned(vectors, cells, train, held, questions, replace(ONE, learnt_share=share))
    learnt, similar, labels = left_out(planted)
    margin = (fitted.conditioned.scale * learnt + fitted.conditioned.parts[0] * similar).reshape(-1, len(held))
    order = np.concatenate([np.sort(np.random.default_rng(0).permutation(Q)[fold::4]) for fold in range(4)])
    for place, question in enumerate(order):
        expected = roc_auc_score(labels.reshape(-1, len(held))[place], margin[place])
        assert fitted.auc[question] == pytest.approx(expected, abs=2e-3)
    assert fitted.mean_auc == pytest.approx(np.nanmean(fitted.auc))


def left_out(planted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learnt score, similarity and label of every held-out cell, question after question, fold after fold."""
    vectors, cells, train, held, questions = planted
    order = np.random.default_rng(0).permutation(Q)
    columns: list[np.ndarray] = []
    for fold in range(4):
        left = np.sort(order[fold::4])
        taught = np.setdiff1d(order, left)
        weights = Ridge(alpha=2.0).fit(vectors[train], cells.labels[train][:, taught]).coef_.T
        gram = kernel(questions.taught[taught], questions.taught[taught], 0.7) + 0.2 * np.eye(len(taught))
        near = kernel(questions.taught[left], questions.taught[taught], 0.7)
        learnt = (vectors[held] - vectors[train].mean(0)) @ weights @ np.linalg.solve(gram, near.T)
        similar = vectors[held] @ (questions.taught[left] - questions.reference).T
        columns.append(np.stack([part.T.ravel() for part in (learnt, similar, cells.labels[held][:, left])]))
    learnt, similar, labels = np.hstack(columns)
    return learnt, similar, labels


def test_new_questions_are_answered_where_similarity_says_nothing(planted):
    vectors, cells, train, held, questions = planted
    taught, new = np.arange(0, 18), np.arange(18, Q)
    fitted = fit_conditioned(vectors, cells.columns(taught), train, held, questions.some(taught), ConditionedSettings())
    margin = fitted.conditioned.margins(vectors[held], questions.taught[new], questions.reference)
    truth = cells.labels[held][:, new]

    def mean_auc(scores: np.ndarray) -> float:
        return float(np.mean([roc_auc_score(truth[:, j], scores[:, j]) for j in range(len(new))]))

    assert mean_auc(margin) > 0.75
    assert mean_auc(vectors[held] @ questions.taught[new].T) < mean_auc(margin) - 0.1


def test_a_refit_on_the_same_rows_changes_nothing_and_keeps_the_calibration(planted):
    vectors, cells, train, held, questions = planted
    fitted = fit_conditioned(vectors, cells, train, held, questions, ONE)
    again = refit_conditioned(vectors[train], cells.rows(train), questions, fitted)
    np.testing.assert_allclose(again.map, fitted.conditioned.map, atol=1e-5)
    assert (again.scale, again.bias) == (fitted.conditioned.scale, fitted.conditioned.bias)


def test_the_nearest_taught_question_is_looked_for_outside_of_the_fold(planted):
    vectors, cells, train, held, questions = planted
    fitted = fit_conditioned(vectors, cells, train, held, questions, ONE)
    order = np.random.default_rng(0).permutation(Q)
    for fold in range(4):
        left = order[fold::4]
        others = np.setdiff1d(order, left)
        for q in left:
            best = max(float(questions.taught[q] @ questions.taught[o]) for o in others)
            assert fitted.similarity[q] == pytest.approx(best, abs=1e-6)


def test_too_few_questions_are_refused(planted):
    vectors, cells, train, held, questions = planted
    few = np.arange(6)
    with pytest.raises(BadInput, match="6 questions are too few"):
        fit_conditioned(vectors, cells.columns(few), train, held, questions.some(few), ONE)
