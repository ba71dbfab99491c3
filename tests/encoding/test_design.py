from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.recording import _delayed_columns, delayed
from qaemb.errors import BadParameter
from qaemb.features.space import zscore
from qaemb.selection.training import _mean_delayed


def test_zscore_by_hand():
    np.testing.assert_allclose(zscore(np.array([[1.0], [2.0], [3.0]])).ravel(), [-np.sqrt(1.5), 0, np.sqrt(1.5)])


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e-8, -1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_does_not_vary_becomes_zero(value, dtype):
    values = np.full((37, 1), value, dtype=dtype)
    assert (zscore(values) == 0).all()


def test_small_variation_on_a_large_mean_is_kept():
    values = np.array([[1e4], [1e4 + 1], [1e4 + 2]], dtype=np.float32)
    np.testing.assert_allclose(zscore(values).std(), 1.0)


def test_delays_by_hand():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    expected = [[0, 0, 0, 0], [1, 10, 0, 0], [2, 20, 1, 10]]
    assert delayed(values, [1, 2]).tolist() == expected


def test_a_delay_longer_than_the_story_gives_zeros():
    assert (delayed(np.ones((2, 1)), [5]) == 0).all()


@pytest.mark.parametrize("delays", [[-1, 1], [1, 1]])
def test_impossible_delays_are_refused(delays):
    with pytest.raises(BadParameter, match=r"encode\.delays"):
        delayed(np.ones((3, 1)), delays)


def test_the_mean_over_delays_is_that_of_the_blocks():
    values = np.random.default_rng(0).standard_normal((9, 3))
    blocks = delayed(values, [1, 4])
    np.testing.assert_allclose(_mean_delayed(values, [1, 4]), (blocks[:, :3] + blocks[:, 3:]) / 2)


def test_columns_of_a_subset_give_the_design_of_the_subset():
    values = np.random.default_rng(0).standard_normal((9, 4))
    columns = _delayed_columns([3, 1], 4, 3)
    np.testing.assert_array_equal(delayed(values, [1, 2, 5])[:, columns], delayed(values[:, [3, 1]], [1, 2, 5]))
