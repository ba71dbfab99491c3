from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from qaemb.errors import BadParameter
from qaemb.selection.elastic_net import Products
from qaemb.selection.methods import CONTROLS, METHODS, Training, path_sizes
from qaemb.settings import SelectSettings


def training() -> Training:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 8)), rng.standard_normal((100, 5))
    share = np.array([0.5, 0.1, 0.9, 0.5, 0.0, 0.2, 0.5, 0.3])
    mean = np.array([0.2, 0.9, 0.1, 0.4, 0.0, 0.1, 0.3, 0.2])
    return Training(Products(x.T @ x / 100, x.T @ y / 100, 0.9), share, mean)


def settings(**changes) -> SelectSettings:
    return SelectSettings(spaces=["qa"], **changes)


def test_without_sizes_those_that_the_path_visits_are_made():
    own = settings(n_alphas=60)
    sizes = path_sizes(training(), own)
    assert sizes == sorted(set(sizes))
    assert sizes[0] >= 1
    assert sizes[-1] == 8
    path = METHODS["elastic_net"].propose(training(), sizes, own)
    assert [len(subset.features) for subset in path] == sizes
    assert all(subset.features == tuple(sorted(subset.features)) for subset in path)


def test_given_sizes_are_made_in_rising_order_once_each():
    assert path_sizes(training(), settings(sizes=[5, 2, 5])) == [2, 5]


@pytest.mark.parametrize("size", [0, 9])
def test_an_impossible_size_is_named(size):
    with pytest.raises(BadParameter, match=rf"select\.sizes: {size} is not between 1 and 8"):
        path_sizes(training(), settings(sizes=[3, size]))


def test_random_subsets_have_the_sizes_and_repeat_with_the_seed():
    drawn = METHODS["random"].propose(training(), [2, 5], settings(n_random=4))
    assert [(subset.size, subset.repeat) for subset in drawn] == [(k, r) for k in (2, 5) for r in range(4)]
    assert all(len(set(subset.features)) == subset.size for subset in drawn)
    assert len({subset.features for subset in drawn[:4]}) > 1
    again = METHODS["random"].propose(training(), [5], settings(n_random=2))
    assert [subset.features for subset in again] == [subset.features for subset in drawn[4:6]]
    other = METHODS["random"].propose(training(), [2, 5], settings(n_random=4, seed=1))
    assert [subset.features for subset in other] != [subset.features for subset in drawn]


def test_most_frequent_goes_by_the_share_of_yes_then_by_the_mean_answer():
    found = METHODS["most_frequent"].propose(training(), [1, 3, 5], settings())
    assert [subset.features for subset in found] == [(2,), (2, 3, 6), (0, 2, 3, 6, 7)]


def test_settings_name_methods_of_the_registry_once_and_no_control():
    assert set(CONTROLS) < set(METHODS)
    assert settings().methods == ["elastic_net"]
    with pytest.raises(ValidationError, match="name each method once"):
        settings(methods=["greedy", "greedy"])
    with pytest.raises(ValidationError, match="'elastic_net', 'stability' or 'greedy'"):
        settings(methods=["random"])
