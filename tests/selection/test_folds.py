from __future__ import annotations

from dataclasses import replace

import pytest

from qaemb.encoding.plan import PROTOCOLS, Partition
from qaemb.errors import BadInput, BadParameter
from qaemb.selection.training import _shared_stories, story_folds


def test_shared_stories_are_dealt_as_under_strict_and_the_others_fill_the_shortest_fold(world):
    settings, recordings = world.settings().encode, world.recordings()
    found = story_folds(recordings, settings)
    dealt = PROTOCOLS["strict"]({"a": 70, "c": 80, "d": 65}, settings).part_of
    assert {story: found[story] for story in ("a", "c", "d")} == {story: parts[0] for story, parts in dealt.items()}
    assert found["b"] == found["d"]  # the fold with 65 rows
    for recording in recordings:
        partition = Partition.of_folds(recording.train_rows(), found, settings.n_folds)
        assert {story: set(parts) for story, parts in partition.part_of.items()} == {
            story: {found[story]} for story in recording.train
        }
        assert partition.held == ((0,), (1,), (2,))


def test_two_folds_are_too_few(world):
    settings = world.settings().encode.model_copy(update={"n_folds": 2})
    with pytest.raises(BadParameter, match=r"encode\.n_folds: 2; selection needs at least 3"):
        story_folds(world.recordings(), settings)


def test_more_folds_than_shared_stories_are_refused(world):
    settings = world.settings().encode.model_copy(update={"n_folds": 4})
    with pytest.raises(BadInput, match=r"3 train stories can't make 4 folds; lower encode\.n_folds"):
        story_folds(world.recordings(), settings)


def test_subjects_without_a_common_story_are_refused(world):
    first, second = world.recordings()
    apart = replace(first, train={"b": first.train["b"]})
    with pytest.raises(BadInput, match="heard by all subjects"):
        _shared_stories([apart, second])
