from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.questions import load_bank

Write = Callable[..., Path]
Entry = Callable[..., dict[str, Any]]
COLOR = "Does the text mention a color?"
SOUND = "Does the text describe a sound?"


def test_entries_come_file_by_file_with_family_and_provenance(write_family: Write, make_entry: Entry) -> None:
    write_family("senses", [make_entry("color", COLOR, property="color"), make_entry("sound", SOUND)])
    bank = write_family("food", [make_entry("eating", "Does the text describe someone eating?", provenance="mine")])
    entries = load_bank(bank)
    assert [(e.file, e.question.name, e.question.group) for e in entries] == [
        ("food.yaml", "eating", "food"),
        ("senses.yaml", "color", "senses"),
        ("senses.yaml", "sound", "senses"),
    ]
    assert [e.question.provenance for e in entries] == ["mine", "a test", "a test"]
    assert [e.question.property_id for e in entries] == [None, "color", None]
    assert entries[1].question.question_id == text_id(COLOR)


def test_missing_examples_are_left_to_the_lint(write_family: Write) -> None:
    (entry,) = load_bank(write_family("senses", [{"name": "color", "text": COLOR}]))
    assert (entry.question.yes_example, entry.question.no_example) == ("", "")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"text": COLOR}, r"senses.yaml: question 1: `name` is missing"),
        ({"name": "color"}, r"senses.yaml: question 1 \(`color`\): `text` is missing"),
        ({"name": "color", "text": "  "}, r"question 1 \(`color`\): `text` is empty"),
        ({"name": "color", "text": 7}, r"question 1 \(`color`\): `text` must be text, not int"),
        ({"name": True, "text": COLOR}, r"question 1: `name` must be text, not bool"),
        ({"name": "color", "text": COLOR, "yes_example": False}, r"`yes_example` must be text, not bool.*quotes"),
        ({"name": "color", "text": COLOR, "property": None}, r"`property` must be text, not empty"),
        ({"name": "color", "text": COLOR, "exemple": "x"}, r"\(`color`\): unknown key `exemple`; known are name, text"),
        ({"name": "My Color", "text": COLOR}, r"`My Color`.*lower-case words joined by _"),
        ({"name": "color_", "text": COLOR}, r"lower-case words joined by _"),
        ("color", r"senses.yaml: question 1 must be a mapping"),
    ],
)
def test_malformed_entry_is_named(write_family: Write, item: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_bank(write_family("senses", [item]))


@pytest.mark.parametrize("questions", [[], None, "color", {"color": COLOR}])
def test_file_without_a_list_of_questions(write_family: Write, questions: Any) -> None:
    with pytest.raises(BadInput, match=r"senses.yaml: `questions` must be a list with at least one"):
        load_bank(write_family("senses", questions))


def test_name_twice_in_one_file_and_in_two(write_family: Write, make_entry: Entry) -> None:
    bank = write_family("senses", [make_entry("color", COLOR), make_entry("color", SOUND)])
    with pytest.raises(BadInput, match=r"name `color` stands twice, in senses.yaml; rename"):
        load_bank(bank)
    write_family("senses", [make_entry("color", COLOR)])
    write_family("looks", [make_entry("color", SOUND)])
    with pytest.raises(BadInput, match=r"name `color` stands twice, in looks.yaml and senses.yaml"):
        load_bank(bank)


def test_property_twice(write_family: Write, make_entry: Entry) -> None:
    items = [make_entry("color", COLOR, property="color"), make_entry("hue", SOUND, property="color")]
    with pytest.raises(BadInput, match="property `color` stands twice"):
        load_bank(write_family("senses", items))


def test_family_twice(write_family: Write, make_entry: Entry) -> None:
    bank = write_family("senses", [make_entry("color", COLOR)])
    (bank / "zz.yaml").write_text((bank / "senses.yaml").read_text())
    with pytest.raises(BadInput, match=r"zz.yaml: the family `senses` stands in senses.yaml too"):
        load_bank(bank)


def test_file_level_mistakes(write_family: Write, make_entry: Entry) -> None:
    bank = write_family("senses", [make_entry("color", COLOR)])
    path = bank / "senses.yaml"
    good = path.read_text()
    cases = {
        good + "extra: 1\n": r"senses.yaml: unknown key `extra`",
        good.replace("provenance: a test\n", ""): r"senses.yaml: `provenance` is missing",
        good + "questions: []\n": r"senses.yaml is not valid YAML: the key `questions` stands twice",
        "family: [": r"senses.yaml is not valid YAML.*",
        "": r"senses.yaml must be a mapping.*not empty",
        "- color\n": r"senses.yaml must be a mapping.*not list",
        "? [a, b]\n: 1\n": r"senses.yaml is not valid YAML",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            load_bank(bank)
    path.write_bytes(b"family: \xff\n")
    with pytest.raises(BadInput, match="senses.yaml is not valid YAML"):
        load_bank(bank)
    path.unlink()
    with pytest.raises(BadInput, match="has no .yaml file"):
        load_bank(bank)
    path.mkdir()
    with pytest.raises(BadInput, match="senses.yaml can't be read"):
        load_bank(bank)
    with pytest.raises(BadInput, match=r"is not a folder.*questions.bank in params.yaml"):
        load_bank(bank / "absent")
