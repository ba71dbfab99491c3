from __future__ import annotations

import numpy as np

from qaemb.selection.elastic_net import Products, solve_elastic_net
from qaemb.selection.methods import _Shares, _shares

PLANTED = (2, 7, 11)


def halves(n: int, seed: int = 0) -> list[Products]:
    """Random halves of 20 stories of 40 rows; 3 of 15 questions drive 8 voxels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 40, 15))
    y = x[:, :, PLANTED] @ rng.standard_normal((3, 8)) + 2 * rng.standard_normal((20, 40, 8))
    drawn = [rng.choice(20, 10, replace=False) for _ in range(n)]
    rows = [(x[own].reshape(400, -1), y[own].reshape(400, -1)) for own in drawn]
    return [Products(a.T @ a / 400, a.T @ b / 400, 0.9) for a, b in rows]


def test_planted_questions_are_kept_on_every_half_and_noise_on_few():
    own = halves(20)
    top = max(products.largest_alpha() for products in own)
    found = _shares(own, np.geomspace(top, 0.02 * top, 20), 0.9, 3)
    place = found.at_size(3, 0.9)
    assert (found.share[place, list(PLANTED)] >= 0.9).all()
    assert np.delete(found.share[place], PLANTED).max() <= 0.2
    assert set(found.order(0.9)[:3].tolist()) == set(PLANTED)


def test_a_share_is_that_of_halves_solved_one_by_one():
    own = halves(5)
    alphas = np.geomspace(own[0].largest_alpha(), 0.05 * own[0].largest_alpha(), 6)
    found = _shares(own, alphas, 1.0, 15)
    for row, alpha in zip(found.share, alphas, strict=False):
        plain = np.mean([np.any(solve_elastic_net(products, alpha) != 0, axis=1) for products in own], axis=0)
        np.testing.assert_array_equal(row, plain)


def test_it_stops_where_enough_questions_are_stable():
    own = halves(4)
    alphas = np.geomspace(own[0].largest_alpha(), 0.01 * own[0].largest_alpha(), 12)
    found = _shares(own, alphas, 0.9, 3)
    assert len(found.alphas) < 12
    assert (found.share >= 0.9).sum(axis=1).tolist()[-1] >= 3
    assert ((found.share >= 0.9).sum(axis=1) < 3)[:-1].all()


def test_order_is_by_the_penalty_of_the_threshold_then_by_the_mean_share():
    kept = np.array([[0.0, 0.2, 0.9, 0.0], [0.9, 1.0, 0.9, 0.1], [1.0, 1.0, 1.0, 0.4]])
    found = _Shares(np.array([3.0, 2.0, 1.0]), kept)
    assert found.order(0.9).tolist() == [2, 1, 0, 3]
    assert [found.at_size(size, 0.9) for size in (1, 2, 3, 4)] == [0, 1, 1, 2]
    # The paper's threshold: on all halves.
    assert found.order(1.0).tolist() == [1, 2, 0, 3]
