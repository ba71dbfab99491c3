"""The elastic net from products against scikit-learn's from rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import MultiTaskElasticNet, enet_path

from qaemb.selection.elastic_net import Products, penalty_path, sets_of_sizes, solve_elastic_net


def problem(collinear: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 12))
    if collinear:
        x[:, 6:] = x[:, :6] + 0.05 * x[:, 6:]
    weights = rng.standard_normal((12, 7)) * (np.arange(12)[:, None] % 3 == 0)
    y = x @ weights + rng.standard_normal((200, 7))
    return x - x.mean(axis=0), y - y.mean(axis=0)


def products(x, y, l1_ratio=0.9) -> Products:
    return Products(x.T @ x / len(x), x.T @ y / len(x), l1_ratio)


@pytest.mark.parametrize("collinear", [False, True])
@pytest.mark.parametrize("l1_ratio", [0.5, 0.9, 1.0])
def test_weights_are_scikit_learns(collinear, l1_ratio):
    x, y = problem(collinear)
    own = products(x, y, l1_ratio)
    for share in (0.7, 0.2, 0.02):
        alpha = share * own.largest_alpha()
        peer = MultiTaskElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, tol=1e-10, max_iter=100_000)
        weights = solve_elastic_net(own, alpha)
        np.testing.assert_allclose(weights, peer.fit(x, y).coef_.T, atol=1e-4)


def test_the_path_with_warm_starts_keeps_what_scikit_learns_path_keeps():
    x, y = problem()
    own = products(x, y)
    path = list(penalty_path(own, 10, 0.02))
    alphas, coefs, _ = enet_path(x, y, l1_ratio=0.9, alphas=[alpha for alpha, _ in path], tol=1e-10, max_iter=100_000)
    np.testing.assert_allclose(alphas, [alpha for alpha, _ in path])
    kept = [np.flatnonzero(np.abs(coefs[:, :, i]).max(axis=0) > 1e-9).tolist() for i in range(10)]
    assert [features for _, features in path] == kept


def test_at_the_largest_penalty_nothing_is_left_and_just_below_it_something():
    own = products(*problem())
    assert (solve_elastic_net(own, own.largest_alpha()) == 0).all()
    assert (solve_elastic_net(own, 0.999 * own.largest_alpha()) != 0).any()


def test_sets_have_the_sizes_asked_for():
    own = products(*problem())
    found = sets_of_sizes(own, [1, 3, 7, 12])
    assert [len(features) for _, features in found] == [1, 3, 7, 12]
    alphas = [alpha for alpha, _ in found]
    assert alphas == sorted(alphas, reverse=True)
    for alpha, features in found:
        weights = solve_elastic_net(own, alpha)
        assert np.flatnonzero(np.abs(weights).max(axis=1)).tolist() == features


def test_a_feature_that_never_varies_never_enters():
    x, y = problem()
    x[:, 0] = 0
    ((alpha, features),) = sets_of_sizes(products(x, y), [12])
    assert features == list(range(1, 12))
    assert alpha > 0
