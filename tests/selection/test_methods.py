from __future__ import annotations

import numpy as np
import pytest

from qaemb.errors import BadParameter
from qaemb.selection.elastic_net import Products
from qaemb.selection.methods import METHODS
from qaemb.settings import SelectSettings


def products() -> Products:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 8)), rng.standard_normal((100, 5))
    return Products(x.T @ x / 100, x.T @ y / 100, 0.9)


def settings(**changes) -> SelectSettings:
    return SelectSettings(spaces=["qa"], **changes)


def test_the_path_has_each_size_once_smallest_first_and_never_zero():
    path = METHODS["elastic_net"](products(), settings(n_alphas=60), [])
    sizes = [len(subset.features) for subset in path]
    assert sizes == sorted(set(sizes))
    assert sizes[0] >= 1
    assert all(subset.features == tuple(sorted(subset.features)) for subset in path)


def test_given_sizes_are_met_in_order_once_each():
    path = METHODS["elastic_net"](products(), settings(), [5, 2, 5])
    assert [len(subset.features) for subset in path] == [2, 5]


@pytest.mark.parametrize("size", [0, 9])
def test_an_impossible_size_is_named(size):
    with pytest.raises(BadParameter, match=rf"select\.sizes: {size} is not between 1 and 8"):
        METHODS["elastic_net"](products(), settings(), [3, size])


def test_random_subsets_have_the_sizes_and_repeat_with_the_seed():
    drawn = METHODS["random"](products(), settings(n_random=4), [2, 5])
    assert [(len(subset.features), subset.repeat) for subset in drawn] == [(k, r) for k in (2, 5) for r in range(4)]
    assert all(len(set(subset.features)) == len(subset.features) for subset in drawn)
    assert len({subset.features for subset in drawn[:4]}) > 1
    again = METHODS["random"](products(), settings(n_random=2), [5])
    assert [subset.features for subset in again] == [subset.features for subset in drawn[4:6]]
    other = METHODS["random"](products(), settings(n_random=4, seed=1), [2, 5])
    assert [subset.features for subset in other] != [subset.features for subset in drawn]
