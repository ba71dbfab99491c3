"""Ridge from sums against ridge from rows: plain cross-validation with `np.linalg.solve`, scikit-learn, himalaya."""

from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.recording import _delayed_columns, delayed
from qaemb.encoding.ridge import FeatureMoments, Spectrum, TargetMoments, _held_out_r, _solve, choose_alphas, plan_ridge
from qaemb.features.space import zscore

ALPHAS = np.logspace(0, 4, 5)
EACH = ((0,), (1,), (2,), (3,))
LENGTHS = (40, 55, 35, 60)


def stories(kind: str, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return designs and targets per story; targets 0 to 7 follow the design, the rest are noise."""
    rng = np.random.default_rng(seed)
    designs = []
    for n in LENGTHS:
        x = rng.standard_normal((n, 5))
        if kind == "collinear":
            x = np.hstack([x, x[:, :2], x.sum(axis=1, keepdims=True)])
        if kind == "constant":
            x[:, 2] = 3.0
        if kind == "float32":
            x = x.astype(np.float32)
        x = zscore(x)
        designs.append(delayed(x, [1, 2, 3]) if kind == "delayed" else x)
    weights = rng.standard_normal((designs[0].shape[1], 12))
    weights[:, 8:] = 0
    return designs, [x @ weights + 4 * rng.standard_normal((len(x), 12)) + 0.3 for x in designs]


def moments_of(designs, targets, parts, n_parts):
    shape = (n_parts, designs[0].shape[1], targets[0].shape[1])
    return (
        FeatureMoments.of_rows(zip(designs, parts, strict=True), n_parts, shape[1]),
        TargetMoments.of_rows(zip(designs, targets, parts, strict=True), shape),
    )


def by_story(designs):
    return [np.full(len(x), i) for i, x in enumerate(designs)]


def plain_scores(x, y, parts, held) -> np.ndarray:
    """The slow way: fit on the rows outside each part, predict the rows in it, correlate."""
    scores = np.zeros((len(held), len(ALPHAS), y.shape[1]))
    for i, part in enumerate(held):
        test = np.isin(parts, part)
        train = ~test
        for j, alpha in enumerate(ALPHAS):
            gram = x[train].T @ x[train] + alpha * np.eye(x.shape[1])
            predicted = x[test] @ np.linalg.solve(gram, x[train].T @ y[train])
            scores[i, j] = [np.corrcoef(predicted[:, v], y[test, v])[0, 1] for v in range(y.shape[1])]
    return scores


@pytest.mark.parametrize("kind", ["plain", "collinear", "delayed", "float32", "constant"])
@pytest.mark.parametrize("held", [((0,), (1,), (2,), (3,)), ((3,),), ((0, 1), (1, 2), (3,))])
def test_scores_and_alphas_are_those_of_plain_cross_validation(kind, held):
    designs, targets = stories(kind)
    parts = by_story(designs)
    features, products = moments_of(designs, targets, parts, 4)
    scores = _held_out_r(plan_ridge(features, held), products, ALPHAS)
    x, y = np.vstack(designs), np.vstack(targets)
    expected = plain_scores(x, y, np.concatenate(parts), held)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    alphas, best = choose_alphas(plan_ridge(features, held), products, ALPHAS)
    np.testing.assert_array_equal(alphas, ALPHAS[expected.mean(axis=0).argmax(axis=0)])
    np.testing.assert_allclose(best, expected.mean(axis=0).max(axis=0), atol=1e-9)
    assert len(set(alphas)) > 1


def test_a_part_may_cut_through_a_story():
    designs, targets = stories("delayed")
    cut = np.split((np.arange(sum(LENGTHS)) >= 160).astype(int), np.cumsum(LENGTHS)[:-1])
    features, products = moments_of(designs, targets, cut, 2)
    scores = _held_out_r(plan_ridge(features, ((1,),)), products, ALPHAS)
    expected = plain_scores(np.vstack(designs), np.vstack(targets), np.concatenate(cut), ((1,),))
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_weights_are_scikit_learns():
    from sklearn.linear_model import Ridge

    designs, targets = stories("delayed")
    features, products = moments_of(designs, targets, by_story(designs), 4)
    alphas = np.resize(ALPHAS, 12)
    weights = _solve(plan_ridge(features, ()), products, alphas)
    expected = Ridge(alpha=alphas, fit_intercept=False).fit(np.vstack(designs), np.vstack(targets)).coef_.T
    np.testing.assert_allclose(weights, expected, atol=1e-9)


def test_alphas_and_weights_are_himalayas():
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score
    from sklearn.model_selection import PredefinedSplit

    designs, targets = stories("plain")
    parts = by_story(designs)
    features, products = moments_of(designs, targets, parts, 4)
    plan = plan_ridge(features, EACH)
    alphas, _ = choose_alphas(plan, products, ALPHAS)
    own = {"score_func": correlation_score}
    peer = RidgeCV(ALPHAS, fit_intercept=False, cv=PredefinedSplit(np.concatenate(parts)), solver_params=own)
    peer.fit(np.vstack(designs), np.vstack(targets))
    np.testing.assert_allclose(alphas, peer.best_alphas_)
    np.testing.assert_allclose(_solve(plan, products, alphas), peer.coef_, atol=1e-8)


def test_targets_do_not_touch_each_other():
    designs, targets = stories("plain")
    order = np.random.default_rng(1).permutation(12)
    features, products = moments_of(designs, targets, by_story(designs), 4)
    _, shuffled = moments_of(designs, [y[:, order] for y in targets], by_story(designs), 4)
    plan = plan_ridge(features, EACH)
    np.testing.assert_allclose(
        _held_out_r(plan, shuffled, ALPHAS), _held_out_r(plan, products, ALPHAS)[..., order], atol=1e-12
    )


def test_a_subset_of_features_is_an_index_into_the_sums():
    designs, targets = stories("delayed")
    columns = _delayed_columns([0, 3], 5, 3)
    features, products = moments_of(designs, targets, by_story(designs), 4)
    fewer = [x[:, columns] for x in designs]
    direct, direct_products = moments_of(fewer, targets, by_story(designs), 4)
    np.testing.assert_allclose(
        _held_out_r(plan_ridge(features.subset(columns), EACH), products.subset(columns), ALPHAS),
        _held_out_r(plan_ridge(direct, EACH), direct_products, ALPHAS),
    )


def test_features_that_say_nothing_score_zero():
    designs, targets = stories("plain")
    nothing = [np.zeros_like(x) for x in designs]
    features, products = moments_of(nothing, targets, by_story(designs), 4)
    assert (_held_out_r(plan_ridge(features, EACH), products, ALPHAS) == 0).all()


def test_the_row_space_gives_the_same_model_from_fewer_columns():
    rng = np.random.default_rng(0)
    designs = [zscore(rng.standard_normal((n, 400))) for n in LENGTHS]
    targets = [rng.standard_normal((len(x), 6)) + x[:, :6] for x in designs]
    basis = Spectrum.of_rows(np.vstack(designs)).vectors
    assert basis is not None
    assert basis.shape[0] == 400
    assert basis.shape[1] <= sum(LENGTHS)
    features, products = moments_of(designs, targets, by_story(designs), 4)
    small, small_products = moments_of([x @ basis for x in designs], targets, by_story(designs), 4)
    plan, small_plan = plan_ridge(features, EACH), plan_ridge(small, EACH)
    np.testing.assert_allclose(
        _held_out_r(small_plan, small_products, ALPHAS), _held_out_r(plan, products, ALPHAS), atol=1e-8
    )
    alphas = np.resize(ALPHAS, 6)
    np.testing.assert_allclose(
        basis @ _solve(small_plan, small_products, alphas), _solve(plan, products, alphas), atol=1e-8
    )
