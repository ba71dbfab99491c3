from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import zscore as scipy_zscore

from qaemb.features.space import zscore


def test_by_hand():
    got = zscore(np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0]], np.float32))
    np.testing.assert_allclose(got, [[-np.sqrt(1.5), 0], [0, 0], [np.sqrt(1.5), 0]], atol=1e-12)
    assert got.dtype == np.float64


@given(arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32)))
def test_columns_that_vary_agree_with_scipy_and_others_become_zeros(values):
    got = zscore(values)
    for column, raw in zip(got.T, values.T, strict=True):
        if np.ptp(raw) > 1e-3:
            np.testing.assert_allclose(column, scipy_zscore(raw.astype(np.float64)), atol=1e-6)
        elif np.ptp(raw) == 0:
            assert (column == 0).all()


def test_rounding_is_not_taken_for_variation():
    values = np.full((1000, 1), 0.1) + np.array([[0.0]] * 999 + [[1e-17]])
    assert (zscore(values) == 0).all()
