from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from qaemb.encoding.bootstrap import Draws, block_counts, interval, paired_difference, resampled_r
from qaemb.encoding.scores import correlation
from qaemb.errors import BadInput


def ar(rng, coefficient: float, shape) -> np.ndarray:
    noise = rng.standard_normal((shape[0] + 30, *shape[1:])) * np.sqrt(1 - coefficient**2)
    return lfilter([1], [1, -coefficient], noise, axis=0)[30:]


def test_every_draw_has_as_many_blocks_as_the_story():
    counts = block_counts(25, 10, 40, (0, 1))
    assert counts.shape == (40, 3)
    assert (counts.sum(axis=1) == 3).all()
    assert len(np.unique(counts, axis=0)) > 5


def test_draws_depend_on_the_seed_alone():
    np.testing.assert_array_equal(block_counts(50, 5, 10, (0, 1)), block_counts(50, 5, 10, (0, 1)))
    assert (block_counts(50, 5, 10, (0, 1)) != block_counts(50, 5, 10, (0, 2))).any()


def test_r_of_a_draw_is_that_of_its_rows():
    rng = np.random.default_rng(0)
    p = rng.standard_normal((23, 700)) + 2
    m = p + rng.standard_normal((23, 700))
    counts = block_counts(23, 5, 6, (1,))
    expected = []
    for own in counts:
        rows = [
            row
            for block, n in enumerate(own)
            for _ in range(int(n))
            for row in range(5 * block, min(5 * block + 5, 23))
        ]
        expected.append(correlation(p[rows], m[rows]).sum())
    np.testing.assert_allclose(resampled_r(p, m, 5, counts), expected)


def test_a_constant_prediction_adds_nothing():
    m = np.random.default_rng(0).standard_normal((20, 3))
    assert (resampled_r(np.zeros((20, 3)), m, 5, block_counts(20, 5, 4, (0,))) == 0).all()


def test_intervals_hold_the_true_r_in_most_stories():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 20))

    def story(n):
        signal = ar(rng, 0.5, (n, 3)) @ mixing
        return signal, signal + 2 * ar(rng, 0.3, (n, 20))

    true = correlation(*story(100_000)).mean()
    held = 0
    for repeat in range(60):
        p, m = story(250)
        low, high = interval(
            correlation(p, m).mean(), resampled_r(p, m, 10, block_counts(250, 10, 200, (repeat,))) / 20
        )
        held += low <= true <= high
    assert held / 60 >= 0.8


def test_the_interval_is_mirrored_at_the_value():
    draws = np.linspace(0.0, 1.0, 1001)
    low, high = interval(0.4, draws)
    assert (low, high) == pytest.approx((0.8 - 0.975, 0.8 - 0.025))
    assert np.isnan(interval(0.4, np.array([]))).all()


def test_a_difference_is_paired_so_what_both_share_does_not_widen_it():
    rng = np.random.default_rng(0)
    shared = 0.05 * rng.standard_normal(500)
    a = Draws(0.30, 0.30 + shared + 0.001 * rng.standard_normal(500), "k")
    b = Draws(0.25, 0.25 + shared + 0.001 * rng.standard_normal(500), "k")
    difference = paired_difference(a, b)
    assert difference.r == pytest.approx(0.05)
    assert 0.04 < difference.low < 0.05 < difference.high < 0.06
    assert difference.p_not_above == 0.0
    back = paired_difference(b, a)
    assert (back.r, back.p_not_above) == (pytest.approx(-0.05), 1.0)


def test_draws_of_other_rows_are_not_paired():
    with pytest.raises(BadInput, match="same subject, test stories"):
        paired_difference(Draws(0.1, np.zeros(3), "k"), Draws(0.1, np.zeros(3), "l"))
