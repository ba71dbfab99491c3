from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qaemb.encoding.compare import _sign_flip_p, group_difference


@pytest.mark.parametrize("seed", range(4))
def test_sign_flips_are_scipys(seed):
    values = np.random.default_rng(seed).standard_normal(8) + 0.3
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert _sign_flip_p(values) == pytest.approx(expected.pvalue)


def test_sign_flips_by_hand():
    # (1, 2, 3) sums to 6: of the eight patterns only this one reaches it; (1, 1, -1) sums to 1, as do three others.
    assert _sign_flip_p(np.array([1.0, 2.0, 3.0])) == 1 / 8
    assert _sign_flip_p(np.array([1.0, 1.0, -1.0])) == 4 / 8
    assert _sign_flip_p(np.array([0.1 + 0.2, -0.3])) == 3 / 4  # equal but for rounding


def test_many_subjects_are_drawn_and_near_the_exact_p():
    values = np.random.default_rng(0).standard_normal(24) + 0.3
    approximate = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert _sign_flip_p(values) == pytest.approx(approximate, rel=0.2)
    assert _sign_flip_p(np.full(30, 1.0)) == 2.0**-20


def test_the_interval_is_students():
    values = np.array([0.02, 0.05, 0.03])
    found = group_difference(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.n, found.n_above, found.smallest_p, found.p) == (3, 3, 0.125, 0.125)
    assert found.mean == pytest.approx(0.1 / 3)


def test_false_claims_over_subjects_are_rare_and_true_ones_made():
    rng = np.random.default_rng(0)
    null = np.array([_sign_flip_p(rng.standard_normal(6)) for _ in range(2000)])
    assert (null <= 0.05).mean() == pytest.approx(3 / 64, abs=0.02)  # p goes in steps of 1/64
    found = np.array([_sign_flip_p(rng.standard_normal(6) + 1.5) for _ in range(300)])
    assert (found <= 0.05).mean() > 0.85


def test_few_subjects_claim_nothing_of_others():
    one = group_difference([0.1]).claims("a", "b")
    assert one == ["1 subject: this says something about this subject and nothing about others."]
    three = group_difference([0.1, 0.2, 0.3]).claims("a", "b")
    assert "a above b in 3; sign-flip p 0.125, the smallest that 3 subjects can give is 0.125" in three[0]
    assert three[1].startswith("Can't be said: that a is above b in the population of subjects; it takes 5")


def test_enough_subjects_in_agreement_make_a_claim():
    assert group_difference([0.1, 0.2, 0.3, 0.2, 0.1]).claims("a", "b")[1].startswith("Can be said: a is above b")
    mixed = group_difference([0.1, -0.2, 0.3, -0.2, 0.1]).claims("a", "b")
    assert mixed[1].startswith("Can't be said: that a is above b")
    assert "a above b in 3" in mixed[0]
