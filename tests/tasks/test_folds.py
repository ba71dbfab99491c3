"""Folds: everybody is tested once, classes are even, groups stay together, and too few texts are named."""

from collections import Counter

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.tasks.labelled import Labelled, folds, outer_splits


def labelled(n: int = 30, **columns: list[str]) -> Labelled:
    return Labelled([f"t{i}" for i in range(n)], ["abc"[i % 3] for i in range(n)], **columns)


def test_each_repeat_tests_everybody_once_with_all_classes_even():
    splits = outer_splits(labelled(), 5, 2, seed=0)
    assert [split.repeat for split in splits] == [0] * 5 + [1] * 5
    for repeat in (0, 1):
        tested = np.concatenate([split.test for split in splits if split.repeat == repeat])
        assert sorted(tested) == list(range(30))
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert set(Counter(labelled().codes[split.test]).values()) == {2}
    assert any((splits[i].test != splits[i + 5].test).any() for i in range(5))


def test_a_group_is_on_one_side():
    own = labelled(group=[f"g{i // 5}" for i in range(30)])
    for split in outer_splits(own, 3, 1, seed=0):
        assert not set(own.units[split.train]) & set(own.units[split.test])


def test_a_given_split_is_taken():
    (split,) = outer_splits(labelled(split=["train"] * 20 + ["test"] * 10), 5, 3, seed=0)
    assert split.train.tolist() == list(range(20))
    assert split.test.tolist() == list(range(20, 30))


def test_inner_folds_are_rows_of_the_data_set():
    rows = np.arange(3, 30)
    for train, test in folds(labelled(), rows, 3, seed=0):
        assert sorted([*train, *test]) == rows.tolist()


def test_too_few_texts_or_groups_are_named():
    with pytest.raises(BadInput, match=r"label `c` has 2 text\(s\) to train on and 3 folds"):
        folds(labelled(8), np.arange(8), 3, seed=0)
    with pytest.raises(BadInput, match=r"2 group\(s\), and 3 folds"):
        outer_splits(labelled(group=[f"g{i % 2}" for i in range(30)]), 3, 1, seed=0)
