"""V-measure, adjusted Rand index and _space_separation, also of _resamples, against scikit-learn and brute force."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, v_measure_score

from qaemb.tasks.clustering import _adjusted_rand, _resamples, _space_separation, _v_measure

N = 40


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=N)
    clusters = np.where(rng.random(N) < 0.7, labels, rng.integers(4, size=N))
    return labels, clusters, _resamples(np.arange(N), 6, seed=0)


def test_resamples_are_the_texts_themselves_and_then_bootstrap_samples():
    weights = _resamples(np.arange(N), 500, seed=0)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == N).all()
    assert (weights[1:] == 0).mean() == pytest.approx((1 - 1 / N) ** N, abs=0.01)


def test_texts_of_one_unit_are_drawn_together():
    units = np.array([2, 0, 0, 1, 2, 2])
    weights = _resamples(units, 50, seed=0)
    for unit in range(3):
        assert (np.ptp(weights[:, units == unit], axis=1) == 0).all()
    assert (weights[:, [1, 3, 0]].sum(axis=1) == 3).all()


@pytest.mark.parametrize(("own", "peer"), [(_v_measure, v_measure_score), (_adjusted_rand, adjusted_rand_score)])
def test_agreement_is_scikit_learns_on_the_texts_as_often_as_they_were_drawn(world, own, peer):
    labels, clusters, weights = world
    expected = [peer(np.repeat(labels, row.astype(int)), np.repeat(clusters, row.astype(int))) for row in weights]
    np.testing.assert_allclose(own(labels, clusters, weights), expected)


@pytest.mark.parametrize("score", [_v_measure, _adjusted_rand])
def test_perfect_and_void_clusters(score):
    labels, ones = np.array([0, 0, 1, 1, 2, 2]), np.ones((1, 6))
    assert score(labels, (labels + 1) % 3, ones)[0] == pytest.approx(1.0)
    assert score(labels, np.zeros(6, int), ones)[0] == pytest.approx(0.0)


def test_separation_is_the_mean_over_pairs(world):
    labels, _, weights = world
    points = np.random.default_rng(1).standard_normal((N, 5)) * 3
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    pairs = list(itertools.combinations(range(N), 2))
    unit = np.sqrt(np.mean([distances[i, j] ** 2 for i, j in pairs]))
    expected = []
    for row in weights:
        parts = {True: [], False: []}
        for i, j in pairs:
            parts[labels[i] == labels[j]] += [distances[i, j] / unit] * int(row[i] * row[j])
        expected.append(np.mean(parts[False]) - np.mean(parts[True]))
    np.testing.assert_allclose(_space_separation(distances, labels, weights), expected)


def test_separation_by_hand():
    # On a line at 0, 1 (label 0) and 3, 4 (label 1): across 3, 4, 2, 3, mean 3; within 1, 1; mean square 40 / 6.
    points = np.array([0.0, 1.0, 3.0, 4.0])
    distances = np.abs(points[:, None] - points)
    own = _space_separation(distances, np.array([0, 0, 1, 1]), np.ones((1, 4)))
    assert own[0] == pytest.approx((3 - 1) / np.sqrt(40 / 6))
    assert _space_separation(7 * distances, np.array([0, 0, 1, 1]), np.ones((1, 4)))[0] == pytest.approx(own[0])
