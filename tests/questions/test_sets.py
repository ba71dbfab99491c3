from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qaemb.errors import BadInput
from qaemb.questions import Question, Rejection, load_sets, read_set_file
from qaemb.questions.sets import _resolve

Write = Callable[..., Path]
COLOR = Question("color", "Does the text mention a color?")
SOUND = Question("sound", "Does the text describe a sound?")
BANK = [COLOR, SOUND]


def test_order_is_the_files(write_set: Write) -> None:
    path = write_set("some", ["sound", "color"])
    write_set("whole", all=True)
    some, whole = load_sets(path.parent, BANK, [])
    assert (some.name, some.questions, some.names) == ("some", (SOUND, COLOR), ("sound", "color"))
    assert some.description == "a test"
    assert whole.questions == (COLOR, SOUND)


def test_all_takes_new_questions_in(write_set: Write) -> None:
    file = read_set_file(write_set("whole", all=True))
    pain = Question("pain", "Does the text mention pain?")
    assert _resolve(file, [*BANK, pain], []).names == ("color", "sound", "pain")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"questions": ["sound", "color", "sound"]}, r"some.yaml: the question `sound` is listed twice \(entry 3\)"),
        ({"questions": []}, r"some.yaml: the set is empty"),
        ({"questions": None, "more": None}, r"some.yaml: unknown key `more`"),
        ({"questions": "sound"}, r"some.yaml: the set is empty"),
        ({"questions": ["sound", True]}, r"some.yaml: entry 2 of `questions` must be a name, not True"),
        ({"questions": [["sound"]]}, r"some.yaml: entry 1 of `questions` must be a name"),
        ({}, r"some.yaml: give either `questions`"),
        ({"questions": ["sound"], "all": True}, r"some.yaml: give either `questions`"),
        ({"all": False}, r"some.yaml: `all` can only be true"),
        ({"set": None, "all": True}, r"some.yaml: `set` must be text"),
    ],
)
def test_wrong_set_file_is_named(write_set: Write, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_set_file(write_set("some", **keys))


def test_set_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("questions: [sound]\n")
    with pytest.raises(BadInput, match=r"x.yaml: `set` is missing"):
        read_set_file(path)
    with pytest.raises(BadInput, match="absent.yaml does not exist"):
        read_set_file(tmp_path / "absent.yaml")


def test_unknown_question(write_set: Write) -> None:
    path = write_set("some", ["sound", "colour"])
    with pytest.raises(BadInput, match=r"some.yaml: there is no question `colour` in the bank"):
        load_sets(path.parent, BANK, [])


def test_rejected_question_names_the_reason(write_set: Write) -> None:
    path = write_set("some", ["sound", "pain"])
    rejected = [Rejection("body.yaml", "pain", "Pain", "does not end with `?`")]
    with pytest.raises(BadInput, match=r"some.yaml: the question `pain` was rejected: it does not end.*body.yaml"):
        load_sets(path.parent, BANK, rejected)


def test_all_of_nothing(write_set: Write) -> None:
    with pytest.raises(BadInput, match=r"whole.yaml: the set is empty"):
        _resolve(read_set_file(write_set("whole", all=True)), [], [])


def test_two_files_with_one_set(write_set: Write) -> None:
    write_set("some", ["sound"])
    path = write_set("some", ["color"], file="zz")
    with pytest.raises(BadInput, match=r"zz.yaml: the set `some` stands in some.yaml too"):
        load_sets(path.parent, BANK, [])
