from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.plan import PROTOCOLS
from qaemb.errors import BadInput
from qaemb.settings import EncodeSettings

ROWS = {"a": 30, "b": 20, "c": 25, "d": 25, "e": 10}


def settings(**changes) -> EncodeSettings:
    return EncodeSettings(spaces={}, **changes)


def test_strict_folds_are_whole_stories_each_held_out_once():
    partition = PROTOCOLS["strict"](ROWS, settings(n_folds=3))
    assert {story: len(parts) for story, parts in partition.part_of.items()} == ROWS
    assert all(len(set(parts)) == 1 for parts in partition.part_of.values())
    assert list(partition.part_of) == list(ROWS)
    assert partition.held == ((0,), (1,), (2,))
    rows = np.bincount(np.concatenate(list(partition.part_of.values())))
    assert rows.min() >= 25


def test_strict_folds_depend_on_the_seed_alone():
    first, again, other = (PROTOCOLS["strict"](ROWS, settings(n_folds=3, seed=seed)) for seed in (0, 0, 1))
    assert all((first.part_of[story] == again.part_of[story]).all() for story in ROWS)
    assert any((first.part_of[story] != other.part_of[story]).any() for story in ROWS)


def test_fewer_stories_than_folds_are_refused():
    with pytest.raises(BadInput, match=r"5 train stories can't make 6 folds; lower encode\.n_folds"):
        PROTOCOLS["strict"](ROWS, settings(n_folds=6))


def test_reference_holds_out_the_last_rows_in_the_order_of_the_stories():
    partition = PROTOCOLS["reference"](ROWS, settings(protocol="reference", holdout=0.15))
    rows = np.concatenate([partition.part_of[story] for story in ROWS])
    assert rows.tolist() == [0] * 94 + [1] * 16  # 110 rows: 93.5 rounds to 94, as Python rounds halves to even
    assert partition.part_of["d"].tolist() == [0] * 19 + [1] * 6
    assert partition.held == ((1,),)
