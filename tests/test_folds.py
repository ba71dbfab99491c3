from __future__ import annotations

import numpy as np
import pytest

from qaemb.folds import deal_by_size, every_nth, held_out_in_turn, in_runs, split_off

SIZES = {"a": 30, "b": 20, "c": 25, "d": 25, "e": 10}


def test_folds_are_about_equal_in_size_and_depend_on_the_seed_alone():
    dealt = deal_by_size(SIZES, 3, seed=0)
    assert list(dealt) == list(SIZES)
    sums = np.bincount(list(dealt.values()), list(SIZES.values()))
    assert sums.min() >= 25
    assert deal_by_size(SIZES, 3, seed=0) == dealt != deal_by_size(SIZES, 3, seed=1)


def test_what_is_dealt_stays_and_the_rest_fills_the_smallest_fold():
    assert deal_by_size(SIZES, 2, None, {"a": 1, "c": 1}) == {"a": 1, "b": 0, "c": 1, "d": 0, "e": 0}


def test_folds_of_numbers_are_those_of_earlier_versions():
    # Stored scores and students were made with these folds.
    assert [fold.tolist() for fold in every_nth(7, 3, seed=0)] == [[2, 6, 1], [4, 5], [3, 0]]
    assert [fold.tolist() for fold in in_runs(7, 3, seed=0)] == [[2, 4, 3], [6, 5], [0, 1]]
    assert [part.tolist() for part in split_off(7, 2, seed=0)] == [[2, 4], [0, 1, 3, 5, 6]]


@pytest.mark.parametrize("deal", [every_nth, in_runs])
def test_each_number_is_held_out_once(deal):
    pairs = list(held_out_in_turn(deal(11, 4, seed=3)))
    assert sorted(np.concatenate([held for _, held in pairs])) == list(range(11))
    for rest, held in pairs:
        assert sorted([*rest, *held]) == list(range(11))
        assert (np.diff(held) > 0).all()
