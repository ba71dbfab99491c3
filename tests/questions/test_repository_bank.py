"""The bank and sets of the repository itself."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from qaemb.questions import Question, QuestionSet, load_bank, load_sets, screen
from qaemb.settings import Settings


@pytest.fixture(scope="module")
def bank(repository: Path, settings: Settings) -> list[Question]:
    entries = load_bank(repository / settings.questions.bank / "bank")
    accepted, rejected = screen(entries, settings.questions.duplicate_similarity)
    assert rejected == []
    return accepted


@pytest.fixture(scope="module")
def sets(repository: Path, settings: Settings, bank: list[Question]) -> dict[str, QuestionSet]:
    loaded = load_sets(repository / settings.questions.bank / "sets", bank, [])
    return {question_set.name: question_set for question_set in loaded}


@pytest.fixture(scope="module")
def properties(repository: Path) -> dict[str, str]:
    listed = yaml.safe_load((repository / "data/miniature/properties.yaml").read_text(encoding="utf-8"))
    return {item["id"]: item["question"] for item in listed}


def test_bank_is_large_and_varied(bank: list[Question]) -> None:
    assert len(bank) >= 160
    families = Counter(question.group for question in bank)
    assert len(families) >= 12
    assert min(families.values()) >= 8


def test_every_gold_property_has_its_question_word_for_word(bank: list[Question], properties: dict[str, str]) -> None:
    asked = {question.property_id: question for question in bank if question.property_id}
    assert {key: question.text for key, question in asked.items()} == properties
    assert all(question.name == key for key, question in asked.items())


def test_examples_are_of_one_question_only(bank: list[Question]) -> None:
    examples = [text for question in bank for text in (question.yes_example, question.no_example)]
    assert [text for text, count in Counter(examples).items() if count > 1] == []
    assert max(len(text.split()) for text in examples) <= 30


def test_no_example_that_should_get_no_holds_what_a_plain_rule_finds(bank: list[Question]) -> None:
    rules = {
        "number": r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|fourteen|twenty|\d+)\b",
        "negation": r"\b(not|no|never|nothing|nobody|without)\b|n't",
        "asks": r"\?",
        "speech": r'"',
        "first_person": r"\b(I|me|my|we|us|our)\b",
    }
    by_name = {question.name: question for question in bank}
    for name, rule in rules.items():
        assert re.search(rule, by_name[name].yes_example), name
        assert not re.search(rule, by_name[name].no_example), name


def test_sets(sets: dict[str, QuestionSet], bank: list[Question], properties: dict[str, str]) -> None:
    assert {"gold", "core", "quick", "full"} <= set(sets)
    assert list(sets["gold"].names) == list(properties)
    assert len(sets["quick"].questions) == 8
    assert set(sets["quick"].names) <= set(properties)
    assert 25 <= len(sets["core"].questions) <= 35
    assert {question.group for question in sets["core"].questions} == {question.group for question in bank}
    assert sets["full"].questions == tuple(bank)


def test_sets_that_the_settings_name_exist(settings: Settings, sets: dict[str, QuestionSet]) -> None:
    named = {job.set for job in settings.answers.jobs.values()} | set(settings.publish.sets)
    assert named <= set(sets)
