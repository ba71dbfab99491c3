"""Heads from few cells against scikit-learn and a dense solution; the curve on problems with planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import brier_score_loss, roc_auc_score

from qaemb.answers.students import Heads
from qaemb.distill.few_cells import Asked, CurvePlan, Pool, Prior, curve, fit_few_cells, grade, summary
from qaemb.errors import BadInput, BadParameter

FLAT = Prior(penalty=2.0, slope=0.0, share=0.0)


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def problem(n: int = 600, q: int = 4, d: int = 8, seed: int = 0) -> tuple[Pool, np.ndarray, np.ndarray]:
    """Return a pool of 12 stories, labels, and a mask in which every question knows other texts."""
    rng = np.random.default_rng(seed)
    vectors, questions = unit(rng.standard_normal((n, d)) + 0.3), unit(rng.standard_normal((q, d)))
    pool = Pool(vectors, questions, [f"s{i % 12}" for i in range(n)])
    margin = 4 * pool.vectors @ (pool.zero_shot + 0.5 * rng.standard_normal((q, d))).T - 1
    labels = (rng.random((n, q)) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    return pool, labels, rng.random((n, q)) < np.linspace(0.1, 0.5, q)


def direction(weight: np.ndarray) -> np.ndarray:
    """Return a head without its scale, which is that of the held-out scores (tested below)."""
    return weight / np.linalg.norm(weight)


def everything_random(labels: np.ndarray, known: np.ndarray) -> Asked:
    return Asked(np.where(known, labels, np.nan).astype(np.float32), known, known)


@pytest.fixture
def raw_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave margins as the linear scores themselves, without an intercept."""

    def none(scores, labels, known, at_random):
        return np.ones(scores.shape[1]), np.zeros(scores.shape[1])

    monkeypatch.setattr("qaemb.distill.few_cells.calibration", none)


@pytest.mark.usefixtures("raw_scores")
@pytest.mark.parametrize("whole", [False, True])
def test_without_a_prior_each_question_is_scikit_learns_ridge_on_its_own_cells(whole):
    pool, labels, known = problem()
    known = np.broadcast_to(known[:, -1:], known.shape) if whole else known
    heads = fit_few_cells(pool, everything_random(labels, known), [FLAT]).heads
    for q in range(labels.shape[1]):
        own = known[:, q]
        peer = Ridge(alpha=2.0).fit(pool.vectors[own].astype(np.float64), labels[own, q])
        np.testing.assert_allclose(direction(heads.weight[:, q]), direction(peer.coef_), atol=5e-4)


@pytest.mark.usefixtures("raw_scores")
def test_with_a_prior_the_heads_are_those_of_the_dense_normal_equations():
    pool, labels, known = problem(n=300, d=6)
    prior = Prior(penalty=3.0, slope=0.4, share=0.6)
    z = pool.zero_shot.astype(np.float64)
    similar = z @ z.T
    kernel = 0.6 * similar / (np.trace(similar) / 4) + 0.4 * np.eye(4)
    gram, cross = np.zeros((24, 24)), np.zeros(24)
    for q in range(4):
        own = known[:, q]
        x = pool.vectors[own].astype(np.float64)
        x, y = x - x.mean(axis=0), labels[own, q] - labels[own, q].mean()
        gram[6 * q : 6 * q + 6, 6 * q : 6 * q + 6] = x.T @ x
        cross[6 * q : 6 * q + 6] = x.T @ (y - x @ (0.4 * z[q]))
    change = np.linalg.solve(gram + 3.0 * np.kron(np.linalg.inv(kernel), np.eye(6)), cross).reshape(4, 6)
    heads = fit_few_cells(pool, everything_random(labels, known), [prior]).heads
    for q in range(4):
        np.testing.assert_allclose(direction(heads.weight[:, q]), direction(0.4 * z[q] + change[q]), atol=5e-4)


@pytest.mark.usefixtures("raw_scores")
def test_held_out_margins_and_correlations_are_those_of_refits_without_the_stories():
    pool, labels, known = problem()
    priors = [Prior(penalty, 0.0, 0.0) for penalty in (0.1, 2.0, 1000.0)]
    fitted = fit_few_cells(pool, everything_random(labels, known), priors)
    fold = np.random.default_rng(0).permutation(12) % 3  # how stories are dealt
    rows, scores = fold[np.unique(pool.groups, return_inverse=True)[1]], {}
    for prior in priors:
        scores[prior] = np.empty(labels.shape)
        for number in range(3):
            for q in range(4):
                own = known[:, q] & (rows != number)
                coef = Ridge(alpha=prior.penalty).fit(pool.vectors[own], labels[own, q]).coef_
                scores[prior][rows == number, q] = (pool.vectors[rows == number] - pool.vectors.mean(axis=0)) @ coef
    expected = {prior: correlation(scores[prior], labels, known, rows) for prior in priors}
    ratio = [fitted.correlation[prior] / expected[prior] for prior in priors]  # the labels' norm is left out
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert fitted.prior == max(expected, key=lambda prior: expected[prior])
    np.testing.assert_allclose(fitted.held_out, scores[fitted.prior], atol=3e-4)
    np.testing.assert_allclose((pool.vectors @ fitted.heads.weight).std(axis=0), fitted.held_out.std(axis=0), rtol=1e-3)


def correlation(scores: np.ndarray, labels: np.ndarray, known: np.ndarray, rows: np.ndarray) -> float:
    """Return the correlation over all cells after the mean of each question and fold is taken away."""
    left = []
    for values in (scores, labels):
        parts = [values[known[:, q] & (rows == k), q] for k in range(3) for q in range(values.shape[1])]
        left.append(np.concatenate([part - part.mean() for part in parts]))
    return float(np.corrcoef(*left)[0, 1])


def test_margins_are_calibrated_where_cells_are_random():
    pool, labels, known = problem(n=3000)
    fitted = fit_few_cells(pool, everything_random(labels, known))
    p = 1 / (1 + np.exp(-(pool.vectors @ fitted.heads.weight + fitted.heads.bias)))
    for low in (0.0, 0.2, 0.4, 0.6):
        there = (p >= low) & (p < low + 0.2)
        assert abs(p[there].mean() - labels[there].mean()) < 0.05
    np.testing.assert_allclose(p.mean(axis=0), labels.mean(axis=0), atol=0.05)


def test_the_order_of_texts_within_the_pool_does_not_matter():
    pool, labels, known = problem()
    order = np.random.default_rng(3).permutation(len(labels))
    first = fit_few_cells(pool, everything_random(labels, known)).heads
    moved = Pool(pool.vectors[order], pool.questions, [pool.groups[i] for i in order])
    second = fit_few_cells(moved, everything_random(labels[order], known[order])).heads
    np.testing.assert_allclose(first.weight, second.weight, rtol=1e-2, atol=1e-2)


def test_a_question_without_a_cell_falls_back_on_its_text_and_its_neighbours():
    pool, labels, known = problem(n=2000, q=6)
    known = known.copy()
    known[:, 2] = False
    fitted = fit_few_cells(pool, everything_random(labels, known), [Prior()])
    head = fitted.heads.weight[:, 2]
    assert np.corrcoef(head, pool.zero_shot[2])[0, 1] > 0.7
    assert roc_auc_score(labels[:, 2], pool.vectors @ head) > 0.6


def test_with_few_cells_the_prior_is_worth_much_and_with_many_little():
    gains = {}
    for n_cells in (10, 1000):
        found = []
        for seed in range(4):
            pool, labels, _ = problem(n=2000, q=6, d=16, seed=seed)
            known = np.zeros(labels.shape, bool)
            known[np.random.default_rng(seed).permutation(1000)[:n_cells]] = True
            asked = everything_random(labels, known)
            own = [fit_few_cells(pool, asked, [prior]).heads for prior in (Prior(), Prior(10.0, 0.0, 0.0))]
            aucs = [grade(heads, pool.vectors[1000:], labels[1000:])[0] for heads in own]
            found.append(aucs[0] - aucs[1])
        gains[n_cells] = np.mean(found)
    assert gains[10] > 0.05
    assert abs(gains[1000]) < 0.01


def test_grades_are_scikit_learns():
    rng = np.random.default_rng(0)
    heads = Heads(rng.standard_normal((5, 3)).astype(np.float32), rng.standard_normal(3).astype(np.float32))
    vectors = rng.standard_normal((200, 5)).astype(np.float32)
    labels = (rng.random((200, 3)) < 0.3).astype(np.float32)
    labels[:, 2] = 0  # no AUC, but a Brier score
    p = 1 / (1 + np.exp(-(vectors @ heads.weight + heads.bias).astype(np.float64)))
    found = grade(heads, vectors, labels)
    assert found[0] == pytest.approx(np.mean([roc_auc_score(labels[:, q], p[:, q]) for q in range(2)]))
    assert found[1] == pytest.approx(np.mean([brier_score_loss(labels[:, q], p[:, q]) for q in range(3)]))
    assert found[2] == pytest.approx(p.mean())


def planted(seed: int, n: int = 8000, q: int = 4, d: int = 24) -> tuple[Pool, np.ndarray, np.ndarray, np.ndarray]:
    """Return a pool of which 6 % of cells are yes, its labels, and vectors and labels of held-out texts."""
    rng = np.random.default_rng(seed)
    vectors, questions = unit(rng.standard_normal((n, d))), unit(rng.standard_normal((q, d)))
    directions = 0.6 * questions + 0.8 * unit(rng.standard_normal((q, d)))
    margin = 24 * vectors @ directions.T - 8
    labels = (rng.random((n, q)) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    size = 3 * n // 4
    pool = Pool(vectors[:size], questions, [f"s{i // 50}" for i in range(size)])
    return pool, labels[:size], vectors[size:], labels[size:]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The curve of three choosers on four planted problems."""
    found = []
    for seed in range(4):
        pool, labels, *test = planted(seed)
        plan = CurvePlan(["random", "likely_yes", "combined"], [160, 480, 1440], seeds=(seed,))
        found.append(curve(pool, labels, {"held_out": (test[0], test[1])}, plan))
    return pd.concat(found)


@pytest.mark.parametrize("chooser", ["likely_yes", "combined"])
def test_active_choice_beats_random_by_a_clear_margin_where_yes_is_rare(table, chooser):
    auc = table.pivot_table(index=["seed", "budget"], columns="chooser", values="auc")
    gain = (auc[chooser] - auc["random"]).unstack("budget")
    assert (gain[160] == 0).all()  # the first cells are the same random ones
    assert gain[[480, 1440]].mean().min() > 0.02
    assert (gain[[480, 1440]] > 0).all(axis=None)


def test_what_was_chosen_says_yes_more_often_and_still_the_margins_are_calibrated(table):
    last = table[table.budget == 1440].groupby("chooser")[["yes_share", "mean_p", "brier"]].mean()
    rate = np.mean([planted(seed)[1].mean() for seed in range(4)])
    assert last.yes_share["combined"] > 1.8 * last.yes_share["random"]
    assert abs(last.mean_p["combined"] - rate) < 0.015
    assert last.brier["combined"] < last.brier["random"]


def test_the_table_has_a_row_for_each_path_budget_and_test(table):
    assert len(table) == 4 * 3 * 3
    assert not table.isna().any(axis=None)
    short = summary(table).set_index(["chooser", "budget"])
    own = table[(table.chooser == "combined") & (table.budget == 480)]
    assert short.loc[("combined", 480), "auc"] == pytest.approx(own.auc.mean())
    assert short.loc[("combined", 480), "auc_sd"] == pytest.approx(np.std(own.auc, ddof=1))
    assert short.loc[("combined", 480), "seeds"] == 4


def test_a_path_depends_on_its_seed_alone_and_never_on_labels_that_were_not_asked():
    pool, labels, *test = planted(0, n=1200)
    plan, tests = CurvePlan(["combined"], [60, 120], seeds=(1,)), {"held_out": (test[0], test[1])}
    first, again = (curve(pool, labels, tests, plan) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    asked: list[np.ndarray] = []

    def spy(pool, given, priors):
        asked.append(given.known)
        return fit_few_cells(pool, given, priors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qaemb.distill.few_cells.fit_few_cells", spy)
        curve(pool, labels, tests, plan)
    elsewhere = np.where(asked[-1], labels, 1 - labels)
    pd.testing.assert_frame_equal(first, curve(pool, elsewhere, tests, plan))


def test_bad_input_is_named():
    pool, labels, known = problem()
    with pytest.raises(BadInput, match="2 stories can't make 3 folds"):
        fit_few_cells(Pool(pool.vectors, pool.questions, ["a", "b"] * 300), everything_random(labels, known))
    with pytest.raises(BadInput, match="no cell is known"):
        Asked(labels, np.zeros_like(known), known)
    with pytest.raises(BadInput, match=r"not in \[0, 1\]"):
        Asked(labels * 2, known, known)
    with pytest.raises(BadParameter, match="do not rise"):
        curve(pool, labels, {}, CurvePlan(["random"], [200, 100]))
