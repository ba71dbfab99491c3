"""Engine `server` and what no second try mends: errors that say what to do, and show no key."""

import sys

import pytest

from qaemb.answers.engines.server.completions import client as server_client
from qaemb.errors import BadParameter, QaembError

from .conftest import QUESTIONS, TEXTS
from .model_server import KEY, Abilities, Fault, answerer_of, failure, serving

N_CELLS = len(TEXTS) * len(QUESTIONS)


@pytest.fixture
def server(tiny_llm, monkeypatch):
    monkeypatch.setattr(server_client, "_FIRST_PAUSE_S", 0.001)
    with serving(tiny_llm) as running:
        yield running


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_pass_is_not_tried_again(server, tiny_llm, status):
    server.faults = [Fault(status)] * 9
    failure(answerer_of(server, tiny_llm), BadParameter)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_is_not_tried_again(server, tiny_llm, status):
    answerer = answerer_of(server, tiny_llm, concurrency=1)
    assert answerer._form  # asks the first requests
    server.faults = [Fault(status)] * 9
    message = failure(answerer, BadParameter)
    n_tokens = len(server.bodies[-1]["prompt"][0])
    assert f"answered {status}: planted; its longest prompt has {n_tokens} tokens; " in message
    assert len(server.bodies) == 2


def test_a_wrong_key_names_the_variable_and_shows_no_key(server, tiny_llm, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-wrong")
    message = failure(answerer_of(server, tiny_llm, api_key_env="MY_KEY"), BadParameter)
    assert "does not let you in (401): the key in environment variable MY_KEY is wrong" in message
    assert "sk-wrong" not in message
    server.faults = [Fault(400, "<p>sk-wrong is not a key</p>")] * 9
    message = failure(answerer_of(server, tiny_llm, api_key_env="MY_KEY"), BadParameter)
    assert "<p>*** is not a key</p>" in message
    assert "sk-wrong" not in message
    server.faults = []
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    answerer_of(server, tiny_llm, api_key_env="MY_KEY").answer(TEXTS[:1], QUESTIONS[:1])
    assert f"Bearer {KEY}" in server.keys


@pytest.mark.parametrize("value", [None, "", " \n", "two words", "ключ", "a\nb"])
def test_a_variable_without_a_key_is_found_before_any_request(server, tiny_llm, monkeypatch, value):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    message = failure(answerer_of(server, tiny_llm, api_key_env="MY_KEY"), BadParameter)
    assert "environment variable MY_KEY (`server.api_key_env`)" in message
    assert "words" not in message
    assert not server.bodies


@pytest.mark.parametrize("status", [400, 404])
def test_a_wrong_model_lists_those_of_the_server(server, tiny_llm, status):
    server.faults = [Fault(status)]
    message = failure(answerer_of(server, tiny_llm, model="gpt-9"), BadParameter)
    assert message.endswith(f"{status}: planted; `server.model` must be one that the server has: tiny, other")
    assert len(server.bodies) == 1


def test_a_wrong_address_says_what_to_check(server, tiny_llm):
    server.faults = [Fault(404, "<html>not here</html>")]
    message = failure(answerer_of(server, tiny_llm), BadParameter)
    assert message.endswith("<html>not here</html>; check `server.url` (with /v1) and `server.model`")
    server.server_close()
    message = failure(answerer_of(server, tiny_llm, max_retries=1))
    assert f"{server.url}/completions failed in 2 of 2 tries, the last time with: ConnectError" in message


def test_a_redirect_is_not_followed(server, tiny_llm, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(tiny_llm) as other:
        server.faults = [Fault(307, headers={"location": other.url})]
        message = failure(answerer_of(server, tiny_llm, api_key_env="MY_KEY"), BadParameter)
        assert f"redirects to {other.url}, which is not followed" in message
        assert not other.bodies


def top(*values: str) -> str:
    """A reply with a choice for each JSON text of log-probs."""
    choices = [f'{{"index": {n}, "logprobs": {{"top_logprobs": [{value}]}}}}' for n, value in enumerate(values)]
    return f'{{"choices": [{", ".join(choices)}]}}'


GARBAGE = {
    "not JSON": ("this is not JSON", "Invalid JSON"),
    "a proxy's page": ("<html><body>Welcome", "Invalid JSON: .*the reply starts `<html><body>Welcome`"),
    "cut": ('{"choices": [{"index": 0,', "Invalid JSON"),
    "a list": ("[]", "Input should be an object"),
    "no choices": ('{"id": 1}', "choices: Field required"),
    "no logprobs": ('{"choices": [{"text": "Yes"}]}', r"choices.0.logprobs: Field required"),
    "null logprobs": (
        '{"choices": [{"logprobs": null}]}',
        r"choices.0.logprobs: .*needs a server and a model that give",
    ),
    "no tokens": (top(""), "choices.0.logprobs.top_logprobs: List should have at least 1 item"),
    "null": (top('{"token_id:3": null}'), "top_logprobs.0.token_id:3: Input should be a valid number"),
    "NaN": (top('{"token_id:3": NaN}'), "top_logprobs.0.token_id:3: Input should be a finite number"),
    "a logit": (top('{"token_id:3": 4.5}'), "top_logprobs.0.token_id:3: Input should be less than or equal to 0.001"),
    "another token": (top('{"token_id:3": -1.5}'), r"of the labels' tokens it lacks \['token_id:\d+', "),
    "too many choices": (top('{"token_id:3": -1.5}', '{"token_id:3": -1.5}'), r"1 prompts got choices \[0, 1\]"),
    "too few choices": (top(), r"1 prompts got choices \[\]"),
    "compressed wrongly": ("garbage", "something that is not HTTP as it should be"),
}


@pytest.mark.parametrize(("body", "message"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_named_with_the_url_and_the_cells_that_it_costs(server, tiny_llm, body, message):
    answerer = answerer_of(server, tiny_llm)
    assert answerer._form  # asks the first requests
    headers = {"content-encoding": "gzip"} if body == "garbage" else {}
    server.faults = [Fault(200, body, headers)]
    with pytest.raises(QaembError, match=message) as error:
        answerer.answer(TEXTS, QUESTIONS)
    assert str(error.value).startswith(f"{server.url}/completions ")
    assert f"the {N_CELLS} cells of this call are lost" in str(error.value)


@pytest.mark.parametrize("changes", [{}, {"api": "chat"}])
def test_a_server_without_logprobs_or_with_fewer_is_told_apart_at_once(server, tiny_llm, changes):
    server.can = Abilities(logprobs=False)
    message = failure(answerer_of(server, tiny_llm, **changes))
    assert "choices.0.logprobs: " in message
    assert "needs a server and a model that give them" in message
    server.can = Abilities(exact=False)
    if not changes:
        assert "answer with `server.logprobs: top`" in failure(answerer_of(server, tiny_llm))
    server.can = Abilities(exact=False, max_logprobs=5)
    message = failure(answerer_of(server, tiny_llm, logprobs="top", **changes))
    assert "400: at most 5 logprobs; " in message
    assert "20 log-probs were asked for" in message


def test_a_chat_that_ends_at_once_is_unanswered_but_not_at_the_first_question(server, tiny_llm):
    answerer = answerer_of(server, tiny_llm, api="chat", top_logprobs=500)
    silence = Fault(200, '{"choices": [{"logprobs": {"content": []}}]}')
    server.faults = [silence]
    assert "choices.0.logprobs.content is empty" in failure(answerer)
    answerer.answer(TEXTS, QUESTIONS)
    server.faults = [silence]
    answers = answerer.answer(TEXTS, QUESTIONS)
    assert (answers.mass == 0).sum() == (answers.margin == 0).sum() == 1
    assert answerer.figures["share_unanswered"] == 1 / (2 * N_CELLS)


def test_a_missing_library_is_named_with_the_command(server, tiny_llm, monkeypatch):
    monkeypatch.delitem(sys.modules, "qaemb.answers.engines.server.client")
    monkeypatch.setitem(sys.modules, "httpx2", None)
    assert 'engine `server` needs httpx2; run `pip install ".[server]"`' in failure(answerer_of(server, tiny_llm))
