"""_Curves of what a teacher says at a student's margin: against scikit-learn, and their inverse against a search."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from qaemb.distill.curves import _Curves, fit_curves


def drawn(n: int, intercept: float, slope: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    margin = 3 * rng.normal(size=n)
    return margin, rng.random(n) < expit(intercept + slope * margin)


def test_with_many_cells_a_question_has_the_curve_of_its_own_logistic_regression():
    parts = [drawn(20_000, -2.0, 1.0, 0), drawn(20_000, 1.0, 0.3, 1)]
    margin, yes = (np.concatenate(values) for values in zip(*parts, strict=True))
    curves = fit_curves(margin, yes, np.repeat([0, 1], 20_000), 2)
    for number, (own, said) in enumerate(parts):
        oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(own[:, None], said)
        assert curves.intercept[number] == pytest.approx(oracle.intercept_[0], abs=0.02)
        assert curves.slope[number] == pytest.approx(oracle.coef_[0, 0], abs=0.01)


def test_with_few_cells_it_stays_near_the_common_curve_and_without_any_it_has_that():
    margin, yes = drawn(5_000, -1.0, 1.0, 2)
    few = np.array([1.0, 2.0]), np.array([False, False])  # separable: alone it would have no finite curve
    curves = fit_curves(
        np.concatenate([margin, few[0]]), np.concatenate([yes, few[1]]), np.repeat([0, 1], [5_000, 2]), 3
    )
    assert curves.slope[2] == pytest.approx(1.0, abs=0.1)
    assert curves.intercept[2] == pytest.approx(-1.0, abs=0.1)
    assert curves.intercept[2] - 2 < curves.intercept[1] < curves.intercept[2] - 0.2
    assert 0 < curves.slope[1] < curves.slope[2]


def test_a_student_that_is_wrong_way_round_gets_a_flat_curve():
    margin, yes = drawn(5_000, 0.0, -1.0, 3)
    curves = fit_curves(margin, yes, np.zeros(5_000, np.int64), 1)
    assert curves.slope[0] == 0
    assert curves.wrong(margin, np.zeros(5_000, np.int64)) == pytest.approx(0.5, abs=0.02)


def test_a_teacher_that_always_says_no_gives_finite_curves():
    margin = np.linspace(-1, 1, 50)
    curves = fit_curves(margin, np.zeros(50, bool), np.zeros(50, np.int64), 1)
    assert np.isfinite([curves.intercept, curves.slope]).all()
    assert (curves.wrong(np.array([-1.0]), np.array([0])) < 0.2).all()


@pytest.mark.parametrize("chance", [1e-9, 0.01, 0.2, 0.5])
def test_outside_the_limits_and_only_there_the_student_is_that_safe(chance):
    curves = _Curves(np.array([-2.0, 0.0, 3.0, -3.0, 0.1]), np.array([1.0, 0.5, 2.0, 0.0, 0.0]))
    low, high = curves.limits(chance)
    grid = np.linspace(-50, 50, 100_001)[:, None] + 0.0005
    number = np.arange(5)
    safe = curves.wrong(grid, number) <= chance
    outside = (grid <= low) | (grid >= high)
    assert ((low <= 0) & (high >= 0)).all()
    np.testing.assert_array_equal(outside, safe)


def test_limits_by_hand():
    # At margin m: log-odds of yes 1 + m. Wrong with chance 1/(1 + e^2) at log-odds -2 and 2: margins -3 and 1.
    low, high = _Curves(np.array([1.0]), np.array([1.0])).limits(float(expit(-2.0)))
    assert (low[0], high[0]) == (pytest.approx(-3.0, abs=1e-4), pytest.approx(1.0, abs=1e-4))
    # A flat curve of P(yes) .05: no margin makes a yes safe, every margin a no.
    low, high = _Curves(np.array([np.log(0.05 / 0.95)]), np.array([0.0])).limits(0.06)
    assert (low[0], high[0]) == (0.0, np.inf)
