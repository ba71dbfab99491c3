from __future__ import annotations

import warnings

import numpy as np

from qaemb.encoding.metrics import _finite_mean
from qaemb.encoding.scores import correlation


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((50, 4)) + np.array([0, 1e3, -5, 0])
    b = a + rng.standard_normal((50, 4))
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-10)


def test_a_constant_prediction_scores_zero_and_a_constant_response_has_no_score():
    rng = np.random.default_rng(0)
    varies = rng.standard_normal((20, 1))
    for constant in (0.0, 0.1, 1e5):
        flat = np.full((20, 1), constant)
        assert correlation(flat, varies) == 0
        assert np.isnan(correlation(varies, flat))


def test_nan_in_a_column_stays_in_that_column():
    a = np.random.default_rng(0).standard_normal((10, 2))
    b = a.copy()
    b[3, 0] = np.nan
    r = correlation(a, b)
    assert np.isnan(r[0])
    np.testing.assert_allclose(r[1], 1.0)


def test_nan_mean_leaves_out_nan_and_warns_of_nothing():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(_finite_mean(values, axis=0), [2.0, np.nan])
    assert _finite_mean(values) == 2.0
