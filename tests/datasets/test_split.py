import pytest

from qaemb.datasets.ds003020 import _Ds003020
from qaemb.datasets.write import choose_stories
from qaemb.errors import BadInput, BadParameter

SUBJECTS = ["UTS01", "UTS02", "UTS03"]
TEST = ["weddingcake", "mountainfog"]


@pytest.fixture
def source(generated):
    return _Ds003020(generated)


@pytest.mark.parametrize(
    ("subjects", "train", "expected"),
    [
        (SUBJECTS, "all", ["alpha", "beta", "gamma"]),
        (SUBJECTS, "shared", ["alpha", "beta"]),
        (["UTS02"], "all", ["alpha", "beta"]),
        (SUBJECTS, ["gamma", "alpha"], ["gamma", "alpha"]),
    ],
)
def test_train_stories(source, subjects, train, expected):
    split = choose_stories(source, subjects, TEST, train)
    assert split.train == expected
    assert split.stories == expected + TEST


@pytest.mark.parametrize(
    ("subjects", "test", "train", "message"),
    [
        (["UTS07"], TEST, "all", r"no subject `UTS07` in the data set \(dataset\.subjects\); there are: UTS01, UTS02"),
        (SUBJECTS, ["nowhere"], "all", r"no story `nowhere` in the data set \(dataset\.test_stories\)"),
        (SUBJECTS, TEST, ["nowhere"], r"no story `nowhere` in the data set \(dataset\.train_stories\)"),
        (SUBJECTS, TEST, ["alpha", "weddingcake"], "weddingcake is a test story too"),
        (SUBJECTS, TEST, ["alpha", "alpha"], "a name is there twice"),
        (["UTS01", "UTS01"], TEST, "all", "a name is there twice"),
    ],
)
def test_wrong_names(source, subjects, test, train, message):
    with pytest.raises(BadParameter, match=message):
        choose_stories(source, subjects, test, train)


def test_a_test_story_that_a_subject_lacks(source):
    with pytest.raises(BadInput, match="UTS02 has no responses to test story gamma"):
        choose_stories(source, SUBJECTS, ["gamma"], "all")


def test_a_subject_with_nothing_to_train_on(source):
    with pytest.raises(BadInput, match="UTS02 has no responses to any train story"):
        choose_stories(source, SUBJECTS, TEST, ["gamma"])
