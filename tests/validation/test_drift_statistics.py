"""Measures of drift against scipy, McNemar's test, the pooled test of two proportions, and slow counting."""

import numpy as np
import pytest
from scipy import stats

from qaemb.stats import q_values
from qaemb.validation.drift.compare import (
    _Common,
    _kolmogorov_smirnov,
    _p_of_flips,
    _p_of_mean_change,
    _p_of_stronger,
    _p_of_weaker,
    _rank_correlation,
)

NONE = _Common(np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def _all(n: int) -> _Common:
    return _Common(np.arange(n), np.arange(n))


def test_without_common_texts_it_is_the_test_of_two_proportions():
    before, now = np.repeat([1.0, 0.0], [30, 90]), np.repeat([1.0, 0.0], [55, 65])
    oracle = stats.chi2_contingency([[30, 90], [55, 65]], correction=False).pvalue
    assert _p_of_mean_change(before, now, NONE) == pytest.approx(oracle)


def test_with_all_texts_common_it_is_mcnemars_test():
    rng = np.random.default_rng(1)
    before = (rng.random(200) < 0.4).astype(float)
    now = np.where(rng.random(200) < 0.1, 1.0, before)
    gained, lost = int(((before == 0) & (now == 1)).sum()), int(((before == 1) & (now == 0)).sum())
    oracle = stats.chi2.sf((gained - lost) ** 2 / (gained + lost), df=1)
    order = rng.permutation(200)  # the same texts in another order
    shuffled = _Common(order, np.arange(200))
    assert _p_of_mean_change(before, now, _all(200)) == pytest.approx(oracle)
    assert _p_of_mean_change(before, now[order], shuffled) == pytest.approx(oracle)


def test_with_some_common_texts_the_null_distribution_is_right():
    """Half of the texts are common, and their answers correlate: p below .05 in 5 % of the cases, not in 2 %."""
    rng = np.random.default_rng(2)
    p, p_blind = [], []
    common = _Common(np.arange(50, 100), np.arange(50))
    for _ in range(2000):
        texts = rng.normal(size=150)
        before = (texts[:100] + 0.3 * rng.normal(size=100) > 0).astype(float)
        now = (texts[50:] + 0.3 * rng.normal(size=100) > 0).astype(float)
        p.append(_p_of_mean_change(before, now, common))
        p_blind.append(_p_of_mean_change(before, now, NONE))
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean(np.array(p_blind) < 0.05) < 0.03


def test_equal_means_and_empty_versions_have_no_change():
    ones = np.ones(5)
    assert _p_of_mean_change(ones, ones, _all(5)) == 1.0
    assert _p_of_mean_change(np.array([]), ones, NONE) == 1.0
    assert _kolmogorov_smirnov(np.array([]), ones) == (0.0, 1.0)


def test_a_change_without_any_variance_is_certain():
    assert _p_of_mean_change(np.full(9, 0.5), np.full(9, 0.75), NONE) < 1e-4
    assert _p_of_mean_change(np.zeros(9), np.ones(9), _all(9)) == pytest.approx(2 * stats.norm.sf(3))


def test_the_distance_of_distributions_is_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=300), rng.normal(0.4, 1.2, size=170)
    distance, p = _kolmogorov_smirnov(a, b)
    exact = stats.ks_2samp(a, b, method="exact")
    points = np.concatenate([a, b])
    slow = max(abs((a <= x).mean() - (b <= x).mean()) for x in points)
    assert distance == pytest.approx(exact.statistic)
    assert distance == pytest.approx(slow)
    assert p == pytest.approx(exact.pvalue, rel=0.3)


def test_flips_are_tested_against_their_limit():
    assert _p_of_flips(3, 10, 0.2) == pytest.approx(stats.binomtest(3, 10, 0.2, alternative="greater").pvalue)
    assert _p_of_flips(0, 10, 0.2) == 1.0
    assert _p_of_flips(1, 10, 0.0) == 0.0


def test_a_weaker_order_is_tested_against_its_limit():
    assert _p_of_weaker(0.5, 100, 0.5) == pytest.approx(0.5)
    assert _p_of_weaker(0.1, 100, 0.5) < 1e-3 < _p_of_weaker(0.9, 100, 0.5)
    assert _p_of_weaker(-1.0, 3, 0.5) == _p_of_weaker(float("nan"), 100, 0.5) == 1.0
    rng = np.random.default_rng(6)
    draws = [rng.multivariate_normal([0, 0], [[1, 0.5176], [0.5176, 1]], size=80) for _ in range(2000)]
    p = [_p_of_weaker(_rank_correlation(own)[0, 1], 80, 0.5) for own in draws]  # 2 sin(pi / 6 * .5) = .5176
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)


def test_rank_correlations_are_scipys_and_zero_for_a_constant_question():
    rng = np.random.default_rng(4)
    margin = np.column_stack([rng.normal(size=40), rng.integers(0, 4, 40), np.ones(40)])
    rho = _rank_correlation(margin)
    assert rho[0, 1] == pytest.approx(stats.spearmanr(margin[:, 0], margin[:, 1]).statistic)
    assert rho[0, 2] == rho[2, 2] == 0.0
    assert rho[1, 1] == pytest.approx(1.0)


def test_a_growing_correlation_has_a_small_p_and_chance_has_the_right_share():
    grown = _p_of_stronger(np.array([0.2, -0.5, 0.97]), 300, np.array([0.97, 0.97, 0.2]), 300)
    assert (grown < 1e-6).tolist() == [True, True, False]
    assert _p_of_stronger(np.zeros(1), 3, np.ones(1), 3).tolist() == [1.0]
    rng = np.random.default_rng(5)
    p = []
    for _ in range(2000):
        draws = [rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=80) for _ in range(2)]
        before, now = (np.array([_rank_correlation(own)[0, 1]]) for own in draws)
        p.append(_p_of_stronger(before, 80, now, 80)[0])
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)


def test_false_discovery_rates_keep_their_shape():
    p = np.array([[0.01, 0.04], [0.03, 0.5]])
    assert q_values(p) == pytest.approx(np.array([[0.04, 0.04 * 4 / 3], [0.04 * 4 / 3, 0.5]]))
    assert q_values(np.ones((0, 4))).shape == (0, 4)
