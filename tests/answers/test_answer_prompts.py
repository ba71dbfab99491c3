"""Prompt files: what a prompt must hold, and what its key consists of."""

import pytest
from pydantic import ValidationError

from qaemb.answers.prompts import Prompt, load_prompt, prompt_names
from qaemb.errors import BadParameter

PLAIN = {"name": "p", "order": "text_first", "chat": False, "pieces": ["{text}", " {question}"]}


@pytest.mark.parametrize("name", prompt_names())
def test_every_prompt_of_the_package_loads_under_its_own_name(name):
    prompt = load_prompt(name)
    assert prompt.name == name
    assert (prompt.message.index("{text}") < prompt.message.index("{question}")) == (prompt.order == "text_first")


def test_an_unknown_prompt_lists_those_there_are():
    with pytest.raises(BadParameter, match="no prompt `text_last`; there are .*question_first.*, text_first"):
        load_prompt("text_last")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pieces": ["{text}", ""]}, "{question} exactly once"),
        ({"pieces": ["{text}{text}", "{question}"]}, "{text} exactly once"),
        ({"pieces": ["{question}", "{text}"]}, "needs {text} in the first piece"),
        ({"pieces": ["{text}{question}", ""]}, "{question} in the second"),
        ({"yes_label": True}, "valid string"),  # what YAML makes of a bare Yes
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_wrong_prompt_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Prompt.model_validate({**PLAIN, **change})


def test_the_name_is_not_part_of_the_content_and_all_else_is():
    prompt = Prompt.model_validate(PLAIN)
    assert Prompt.model_validate({**PLAIN, "name": "q"}).content() == prompt.content()
    others = [{"chat": True, "system": "Hm."}, {"chat": True}, {"yes_label": "True"}, {"no_label": "False"}]
    others += [{"few_shot": [{"text": "a", "question": "b?", "answer": "Yes"}]}, {"pieces": ["{text} ", "{question}"]}]
    assert all(Prompt.model_validate({**PLAIN, **other}).content() != prompt.content() for other in others)
