"""Linear heads and heads with a hidden layer against scikit-learn, a plain network, and planted problems."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from qaemb.distill.cells import TeacherCells
from qaemb.distill.heads import (
    HeadSettings,
    HiddenSettings,
    cell_weights,
    fit_heads,
    fit_hidden,
    log_loss,
    refit_heads,
    refit_hidden,
)
from qaemb.errors import BadInput

N, D, Q = 600, 12, 3


def cells_of(labels: np.ndarray, known: np.ndarray | None = None) -> TeacherCells:
    known = np.ones(labels.shape, bool) if known is None else known
    names = [f"Is it {column}?" for column in range(labels.shape[1])]
    return TeacherCells(["x"] * len(labels), names, labels.astype(np.float32), known, ["s"] * len(labels))


@pytest.fixture
def planted():
    """Vectors of very unequal scale, as encoders give them, and labels drawn from logistic models of them."""
    rng = np.random.default_rng(3)
    vectors = (rng.standard_normal((N, D)) * np.geomspace(1, 0.05, D)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(vectors @ (4 * rng.standard_normal((D, Q))) - 1)))
    return vectors, (rng.random((N, Q)) < chance).astype(np.float32)


@pytest.mark.parametrize("penalty", [0.1, 1e-3])
def test_heads_are_scikit_learns_logistic_regression(planted, penalty):
    vectors, labels = planted
    heads = refit_heads(vectors, cells_of(labels), penalty, HeadSettings())
    for column in range(Q):
        oracle = LogisticRegression(C=1 / (penalty * N), tol=1e-10, max_iter=10_000).fit(vectors, labels[:, column])
        np.testing.assert_allclose(heads.margins(vectors)[:, column], oracle.decision_function(vectors), atol=0.02)


def test_unknown_cells_have_no_part(planted):
    vectors, labels = planted
    known = np.random.default_rng(0).random(labels.shape) < 0.6
    spoilt = np.where(known, labels, 1 - labels)
    heads = refit_heads(vectors, cells_of(spoilt, known), 1e-2, HeadSettings())
    for column in range(Q):
        own = known[:, column]
        oracle = LogisticRegression(C=1 / (1e-2 * own.sum()), tol=1e-10, max_iter=10_000)
        expected = oracle.fit(vectors[own], labels[own, column]).decision_function(vectors)
        np.testing.assert_allclose(heads.margins(vectors)[:, column], expected, atol=0.02)


def test_a_soft_label_is_that_share_of_both_hard_ones(planted):
    vectors, _ = planted
    soft = np.random.default_rng(1).random((N, 1)).astype(np.float32)
    heads = refit_heads(vectors, cells_of(soft), 1e-2, HeadSettings())
    doubled, weights = np.vstack([vectors, vectors]), np.r_[soft[:, 0], 1 - soft[:, 0]]
    oracle = LogisticRegression(C=1 / (1e-2 * N), tol=1e-10, max_iter=10_000)
    oracle.fit(doubled, np.r_[np.ones(N), np.zeros(N)], sample_weight=weights)
    np.testing.assert_allclose(heads.margins(vectors)[:, 0], oracle.decision_function(vectors), atol=0.02)
    hard = refit_heads(vectors, cells_of(soft), 1e-2, HeadSettings(hard=True))
    same = refit_heads(vectors, cells_of((soft > 0.5).astype(np.float32)), 1e-2, HeadSettings())
    np.testing.assert_array_equal(hard.weight, same.weight)


def test_balanced_heads_weigh_yes_and_no_alike_and_stay_calibrated(planted):
    vectors, _ = planted
    rare = (np.random.default_rng(2).random((N, 1)) < 0.5 * (vectors[:, :1] > 0.8)).astype(np.float32)
    assert 0.05 < rare.mean() < 0.2
    share, _ = cell_weights(cells_of(rare), rare, balance=True)
    assert share[rare == 1].sum() == pytest.approx(0.5)
    assert share[rare == 0].sum() == pytest.approx(0.5)
    balanced = refit_heads(vectors, cells_of(rare), 1e-3, HeadSettings(balance=True)).margins(vectors)
    assert 1 / (1 + np.exp(-balanced)).mean() != pytest.approx(0.5, abs=0.2)  # the base rate is back in the bias
    oracle = LogisticRegression(C=1 / (1e-3 * N), class_weight="balanced", tol=1e-10, max_iter=10_000)
    expected = oracle.fit(vectors, rare[:, 0]).decision_function(vectors) + np.log(rare.mean() / (1 - rare.mean()))
    np.testing.assert_allclose(balanced[:, 0], expected, atol=0.05)


def test_the_penalty_is_the_one_that_held_out_stories_like_best(planted):
    vectors, labels = planted
    cells, train, held = cells_of(labels), np.arange(0, 400), np.arange(400, N)
    settings = HeadSettings(penalties=(1.0, 0.1, 1e-2, 1e-3, 1e-5))
    fitted = fit_heads(vectors, cells, train, held, settings)
    tried = [refit_heads(vectors[train], cells.rows(train), p, settings) for p in settings.penalties]
    losses = [log_loss(heads.margins(vectors[held]), labels[held], cells.known[held]) for heads in tried]
    assert fitted.penalty == settings.penalties[int(np.argmin(losses))]
    assert fitted.curve[0]["held_out_log_loss"] == pytest.approx(losses[0], abs=1e-4)


def test_log_loss_by_hand():
    margin, labels = np.array([[0.0, 2.0]], np.float32), np.array([[1.0, 0.25]], np.float32)
    p = 1 / (1 + np.exp(-2))
    expected = (np.log(2) - 0.25 * np.log(p) - 0.75 * np.log(1 - p)) / 2
    assert log_loss(margin, labels, np.ones((1, 2), bool)) == pytest.approx(expected)
    assert log_loss(margin, labels, np.array([[True, False]])) == pytest.approx(np.log(2))


def test_a_question_without_a_known_cell_is_named(planted):
    vectors, labels = planted
    known = np.ones(labels.shape, bool)
    known[:, 1] = False
    with pytest.raises(BadInput, match=r"answered `Is it 1\?` for no text to learn from"):
        refit_heads(vectors, cells_of(labels, known), 1e-2, HeadSettings())


@pytest.fixture
def crossed():
    """Labels that no linear map of the vectors can tell: the sign of a product."""
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((1200, 4)) + 3.0).astype(np.float32)
    return vectors, ((vectors[:, :1] - 3) * (vectors[:, 1:2] - 3) > 0).astype(np.float32)


HIDDEN = HiddenSettings(units=32, epochs=30, learning_rate=2e-2, batch=64, input_dropout=0.0, dropout=0.0)


def test_a_hidden_layer_learns_what_linear_heads_cannot(crossed):
    vectors, labels = crossed
    cells, train, held = cells_of(labels), np.arange(0, 900), np.arange(900, 1200)
    linear = fit_heads(vectors, cells, train, held, HeadSettings()).heads.margins(vectors[held])
    fitted = fit_hidden(vectors, cells, train, held, HeadSettings(), HIDDEN)
    hidden = fitted.heads.margins(vectors[held])
    assert ((linear > 0) == labels[held]).mean() < 0.65
    assert ((hidden > 0) == labels[held]).mean() > 0.9
    losses = [row["held_out_log_loss"] for row in fitted.curve]
    assert fitted.epochs == int(np.argmin(losses)) + 1
    assert log_loss(hidden, labels[held], cells.known[held]) == pytest.approx(min(losses), abs=1e-6)


def test_hidden_heads_come_out_alike_from_one_seed_and_differ_with_another(crossed):
    vectors, labels = crossed
    one, two = (refit_hidden(vectors, cells_of(labels), 2, HeadSettings(), HIDDEN) for _ in range(2))
    np.testing.assert_array_equal(one.weight, two.weight)
    other = refit_hidden(vectors, cells_of(labels), 2, HeadSettings(), HiddenSettings(**(vars(HIDDEN) | {"seed": 1})))
    assert not np.array_equal(one.weight, other.weight)
