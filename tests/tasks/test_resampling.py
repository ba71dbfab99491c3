"""Intervals and p-values against theory and against going through every case."""

from itertools import product

import numpy as np
import pytest

from qaemb.tasks.resampling import interval, mean_with_interval, paired_difference


def test_the_interval_of_a_mean_is_about_two_standard_errors_either_way():
    scores = np.random.default_rng(0).normal(3, 2, size=400)
    found = mean_with_interval(scores, 4000, seed=1)
    error = scores.std() / 20
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((found.value - 1.96 * error, found.value + 1.96 * error), abs=0.02)
    assert mean_with_interval(scores, 500, seed=1) == mean_with_interval(scores, 500, seed=1)


def test_p_is_that_of_all_swaps():
    a, b = np.array([0.9, 0.7, 0.4, 0.8, 0.6, 0.5, 1.0]), np.array([0.6, 0.6, 0.5, 0.3, 0.5, 0.4, 0.7])
    difference = a - b
    swaps = [abs(np.dot(signs, difference)) for signs in product([-1, 1], repeat=len(a))]
    exact = np.mean([value >= abs(difference.sum()) - 1e-12 for value in swaps])
    found = paired_difference(a, b, 20_000, seed=0)
    assert found.p == pytest.approx(exact, abs=0.01)
    assert found.metrics("gain") == {
        "gain": pytest.approx(difference.mean()),
        "gain_low": found.low,
        "gain_high": found.high,
        "gain_p": found.p,
    }


def test_no_difference_has_p_one_and_p_is_never_zero():
    scores = np.linspace(0, 1, 50)
    assert paired_difference(scores, scores, 200, seed=0).p == 1
    assert paired_difference(scores + 1, scores, 199, seed=0).p == pytest.approx(1 / 200)


def test_an_interval_is_the_percentiles_of_what_was_sampled():
    found = interval(0.5, np.linspace(0, 1, 1001))
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.025), pytest.approx(0.975))
