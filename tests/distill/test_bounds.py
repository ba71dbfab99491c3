"""Bounds on clustered error rates: against scipy and plain sums, and that they are wrong as seldom as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from qaemb.distill.cascade import _clusters_needed, _risk_is_below, _upper_bound

ONE = np.ones(400, np.int64)


def rates(rng: np.random.Generator, n: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors and sizes of n clusters with a true rate of .1: cells that err alone, together, or in between."""
    sizes = np.full(n, 20)
    p = {"alone": np.full(n, 0.1), "together": rng.binomial(1, 0.1, n), "between": rng.beta(0.2, 1.8, n)}[kind]
    return rng.binomial(sizes, p), sizes


@pytest.mark.parametrize("n_wrong", [0, 1, 13, 399, 400])
def test_of_single_cells_the_bound_is_clopper_and_pearsons(n_wrong):
    errors = (np.arange(400) < n_wrong).astype(np.int64)
    expected = binomtest(n_wrong, 400).proportion_ci(0.9, method="exact").high  # two-sided .9 is one-sided .95
    assert _upper_bound(errors, ONE, 0.95) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sizes", [ONE, 7 * ONE, np.arange(1, 401)], ids=["single", "equal", "unequal"])
def test_test_and_bound_agree(sizes):
    errors = np.random.default_rng(0).binomial(sizes, 0.05)
    bound = _upper_bound(errors, sizes, 0.95)
    assert errors.sum() / sizes.sum() < bound < 1
    assert _risk_is_below(errors, sizes, bound + 1e-5, 0.95)
    assert not _risk_is_below(errors, sizes, bound - 1e-5, 0.95)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_the_wealth_is_the_sum_of_products_that_is_written_down(clusters, risk):
    errors = np.array([e for e, _ in clusters])
    sizes = np.array([max(e + right, 2) for e, right in clusters])
    wealth = 0.0
    for weight, bet in ((0.5, 1.0), (0.25, 0.5), (0.25, 0.25)):
        product = 1.0
        for e, n in zip(errors, sizes, strict=True):
            product *= 1 + bet * (risk * n - e) / ((1 - risk) * max(sizes))
        wealth += weight * product
    for confidence in (0.5, 0.8, 0.95):
        if abs(wealth - 1 / (1 - confidence)) > 1e-6:
            assert _risk_is_below(errors, sizes, risk, confidence) == (wealth > 1 / (1 - confidence))


@pytest.mark.parametrize("kind", ["alone", "together", "between"])
def test_the_bound_lies_under_the_true_rate_as_seldom_as_it_says(kind):
    rng = np.random.default_rng(1)
    draws = [rates(rng, 100, kind) for _ in range(1000)]
    missed = np.mean([_risk_is_below(*draw, 0.1, 0.9) for draw in draws])
    assert missed <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 1000)


def test_taking_cells_that_err_together_for_independent_ones_would_miss_often():
    rng = np.random.default_rng(1)
    n_missed = 0
    for _ in range(200):
        errors, _ = rates(rng, 100, "together")
        cells = np.repeat(errors // 20, 20)
        n_missed += _risk_is_below(cells, np.ones_like(cells), 0.1, 0.9)
    assert n_missed / 200 > 0.25  # so that the test above can fail


def test_texts_that_are_alike_are_bounded_more_tightly_than_texts_that_differ():
    rng = np.random.default_rng(2)
    alone, together = (
        np.mean([_upper_bound(*rates(rng, 300, kind), 0.95) for _ in range(10)]) for kind in ("alone", "together")
    )
    assert alone < 0.12 < together


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(("risk", "confidence"), [(0.05, 0.95), (0.2, 0.8), (0.001, 0.99)])
def test_no_fewer_clusters_show_a_rate(single, risk, confidence):
    n = _clusters_needed(risk, confidence, single)
    size = 1 if single else 30
    assert _risk_is_below(np.zeros(n, np.int64), np.full(n, size), risk, confidence)
    assert not _risk_is_below(np.zeros(n - 1, np.int64), np.full(n - 1, size), risk, confidence)


def test_clusters_needed_by_hand():
    assert _clusters_needed(0.05, 0.95, single=True) == 59  # the first n with .95 ** n <= .05
