"""A teacher's cells: what is refused, what is taken out, and how they are split."""

import numpy as np
import pytest

from qaemb.distill.cells import TeacherCells, split_groups
from qaemb.errors import BadInput, BadParameter

LABELS = np.array([[0, 1], [0.25, 1], [0, 0]], np.float32)
KNOWN = np.array([[True, True], [False, True], [True, True]])


def cells(**changes: object) -> TeacherCells:
    values = {
        "texts": ["a", "b", "a"],
        "questions": ["Is it?", "Was it?"],
        "labels": LABELS,
        "known": KNOWN,
        "groups": ["s", "t", "t"],
    }
    return TeacherCells(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["a", " ", "a"]}, "text number 1 is empty"),
        ({"texts": []}, "there is no text"),
        ({"questions": ["Is it?", 3]}, "question number 1 is empty or not a string"),
        ({"questions": ["Is it?", "Is it?"]}, "question `Is it.` is listed twice"),
        ({"groups": ["s", "t"]}, "3 texts have 2 stories"),
        ({"groups": ["s", "", "t"]}, "story of text number 1 is empty"),
        ({"labels": LABELS[:2]}, r"labels are float32 \(2, 2\); 3 texts and 2 questions need float32 \(3, 2\)"),
        ({"labels": LABELS.astype(np.float64)}, r"labels are float64 \(3, 2\)"),
        ({"known": KNOWN.astype(int)}, "known are int64"),
        ({"labels": LABELS * 2}, r"the label of text number 0, question number 1, is 2.0, not in \[0, 1\]"),
        ({"labels": np.where(KNOWN, LABELS, np.nan).astype(np.float32)}, "text number 1, question number 0, is nan"),
    ],
)
def test_wrong_cells_are_refused_with_what_is_wrong(changes, message):
    with pytest.raises(BadInput, match=message):
        cells(**changes)


def test_rows_columns_and_stories_take_all_that_belongs_to_them():
    some = cells().rows(np.array([2, 1])).columns(np.array([1]))
    assert (some.texts, some.questions, some.groups) == (["a", "b"], ["Was it?"], ["t", "t"])
    assert some.labels.tolist() == [[0], [1]]
    assert some.known.tolist() == [[True], [True]]
    story = cells().stories(["t"])
    assert story.texts == ["b", "a"]
    assert story.labels.tolist() == [[0.25, 1], [0, 0]]
    with pytest.raises(BadInput, match="no text is of story u; there are s, t"):
        cells().stories(["t", "u"])


def test_whole_stories_are_held_out_whatever_the_order_of_the_texts():
    groups = [f"story{number % 10}" for number in range(57)]
    train, held_out = split_groups(groups, 0.3, seed=1)
    assert sorted([*train, *held_out]) == list(range(57))
    names = {groups[row] for row in held_out}
    assert len(names) == 3
    assert not names & {groups[row] for row in train}
    _, other_order = split_groups(groups[::-1], 0.3, seed=1)
    assert {groups[::-1][row] for row in other_order} == names
    assert {tuple(split_groups(groups, 0.3, seed)[1]) for seed in range(9)} != {tuple(held_out)}


def test_a_story_remains_on_each_side_however_small_the_share():
    assert len(split_groups(["a", "b"], 0.01, 0)[1]) == 1
    assert len(split_groups(["a", "b"], 0.99, 0)[0]) == 1
    with pytest.raises(BadInput, match="1 stories can't be split"):
        split_groups(["a", "a"], 0.5, 0)
    with pytest.raises(BadParameter, match="held_out_share is 1"):
        split_groups(["a", "b"], 1.0, 0)
