from __future__ import annotations

import pytest

from qaemb.questions.bank import Question
from qaemb.questions.screening import _LINTS, _lint


def ask(text: str, yes: str = "a yes", no: str = "a no") -> Question:
    return Question("name", text, yes_example=yes, no_example=no)


GOOD = [
    "Does the text mention food or drink?",
    "Does the text mention heat or cold?",
    "Does the text mention a building or a room?",
    "Does the text name or describe a place?",
    "Does the text mention weather, plants, water or the landscape?",
    "Does the text describe what someone other than the narrator thinks, wants or feels?",
    "Does the text say when something happens or how long it lasts?",
    "Does the text describe a talk between a doctor and a patient?",
    "Does the text describe a walk between the very old bridge and the station?",
    'Does the text contain the word "and"?',
    "Does the text contain the sign “/”?",
    "Is the narrator alone or with one friend?",
    "Can the event be seen by others?",
    "Has the narrator been here before?",
    "Does the text mention Dr. Watson's band?",
    "Does the text mention an island or a sandy beach?",
    "Does the text contain a report or a name?",
]

BAD = {
    "not_a_question": [
        "Does the text mention food",
        "Does the text mention food.",
        "Does the text mention food??",
        "Does the text mention food!?",
        "Does the text mention food? Is it good?",
        "The text is about food. Does it mention bread?",
        "Does the text mention food; is it good?",
    ],
    "not_yes_or_no": [
        "What does the text mention?",
        "Which food does the text mention?",
        "How many people does the text mention?",
        "Mentions the text some food?",
        "Doesn't the text mention food?",
        "The text mentions food?",
        "Doe the text mention food?",
        "?",
    ],
    "not_one_proposition": [
        "Does the text mention food and describe a place?",
        "Does the text mention heat and cold?",
        "Does the text mention food And drink?",
        "Does the text mention food & drink?",
        "Does the text mention food as well as drink?",
        "Does the text mention food but also drink?",
        "Does the text mention food and/or drink?",
        "Does the text mention food/drink?",
        "Does the text mention food or describe a place?",
        "Does the text mention food, or also describe a place?",
        "Does the text mention food or does it describe a place?",
        "Is the text sad, or is it funny?",
        "Does the text mention food, does it describe a place?",
        "Does the text describe a talk between friends and mention food?",
        'Does the text say "hello" and mention food?',
    ],
    "bad_length": [
        "Is it red?",
        "Does the text " + "really " * 25 + "mention food?",
        "Does the text mention " + "a" * 160 + "?",
    ],
    "bad_characters": [
        "Does the  text mention food?",
        "Does the text\nmention food?",
        "Does the text\tmention food?",
        "Does the text mention\u00a0food?",
        "Does the text mention \u200bfood?",
    ],
}


@pytest.mark.parametrize("text", GOOD)
def test_good_question_passes(text: str) -> None:
    assert _lint(ask(text)) is None


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in BAD.items() for text in texts])
def test_bad_question_is_refused_by_its_check(check: str, text: str) -> None:
    reason = _LINTS[check](ask(text))
    assert reason
    assert reason in (_lint(ask(text)) or "")


@pytest.mark.parametrize(
    ("yes", "no", "reason"),
    [
        ("", "a no", "has no `yes_example`"),
        ("a yes", " ", "has no `no_example`"),
        ("The cat sat.", "the  cat sat.", "has the same text as `yes_example` and `no_example`"),
    ],
)
def test_examples_must_be_there_and_differ(yes: str, no: str, reason: str) -> None:
    assert _lint(ask("Does the text mention food?", yes, no)) == reason


def test_all_reasons_are_given() -> None:
    reason = _lint(ask("What is red and blue", no=""))
    assert reason is not None
    assert [part.split()[0] for part in reason.split("; ") if part != "ask one thing"] == [
        "does",
        "does",
        "joins",
        "has",
    ]
