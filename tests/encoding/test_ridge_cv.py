"""The solver on arrays against scikit-learn, row by row, and against himalaya."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from qaemb.encoding.ridge_cv import ridge_cv
from qaemb.encoding.scores import correlation
from qaemb.errors import BadInput

ALPHAS = np.logspace(0, 4, 5)


def problem(n_targets: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 20))
    x[:, 10:] = x[:, :10] + 1e-3 * rng.standard_normal((300, 10))  # nearly collinear
    weights = rng.standard_normal((20, n_targets)) * np.geomspace(0.01, 2, n_targets)
    y = x @ weights + 3 * rng.standard_normal((300, n_targets))
    return x - x.mean(axis=0), y - y.mean(axis=0), np.repeat([0, 1, 2, 1, 0], 60)


def plain(x, y, fold):
    scores = np.zeros((3, len(ALPHAS), y.shape[1]))
    for i in range(3):
        for j, alpha in enumerate(ALPHAS):
            model = Ridge(alpha=alpha, fit_intercept=False).fit(x[fold != i], y[fold != i])
            scores[i, j] = correlation(model.predict(x[fold == i]), y[fold == i])
    best = scores.mean(axis=0).argmax(axis=0)
    return ALPHAS[best], scores.mean(axis=0).max(axis=0)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-8), ("float32", 2e-5)])
def test_the_fit_is_scikit_learns(precision, tolerance, monkeypatch):
    monkeypatch.setattr("qaemb.encoding.ridge_cv.AT_ONCE", 7)
    x, y, fold = problem()
    alpha, r = plain(x, y, fold)
    found = ridge_cv(x, y, fold, ALPHAS, precision=precision)
    assert len(set(alpha)) > 2
    np.testing.assert_array_equal(found.alpha, alpha)
    np.testing.assert_allclose(found.r, r, atol=tolerance)
    expected = Ridge(alpha=alpha, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(x @ found.weights, expected.predict(x), atol=100 * tolerance)


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr("qaemb.encoding.ridge_cv.AT_ONCE", 3)
    x, y, fold = problem()
    one, four = (ridge_cv(x, y, fold, ALPHAS, threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one.weights, four.weights)
    np.testing.assert_array_equal(one.alpha, four.alpha)


def test_more_features_than_rows_are_fitted_too():
    rng = np.random.default_rng(1)
    x, y, fold = rng.standard_normal((60, 90)), rng.standard_normal((60, 8)), np.repeat([0, 1, 2], 20)
    y += x[:, :8] * 3
    alpha, r = plain(x, y, fold)
    found = ridge_cv(x, y, fold, ALPHAS, precision="float64")
    np.testing.assert_array_equal(found.alpha, alpha)
    np.testing.assert_allclose(found.r, r, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, fold: (x[:-1], y, fold), "must have the same rows"),
        (lambda x, y, fold: (x, y, fold * 0), "two folds or more"),
        (lambda x, y, fold: (x, y, fold * 2), "without a gap"),
        (lambda x, y, fold: (x, np.where(np.arange(y.shape[1]) == 5, np.nan, y), fold), "y is not finite in column 5"),
    ],
)
def test_wrong_arrays_are_named(change, message):
    with pytest.raises(BadInput, match=message):
        ridge_cv(*change(*problem()), ALPHAS)
