"""Engine `server`: what its key holds, what it costs, and which settings it takes."""

import pytest

from qaemb.answers import Cost, build_answerer
from qaemb.errors import BadParameter

from .conftest import spec_for
from .model_server import serving, spec_of


@pytest.fixture
def server(tiny_llm):
    with serving(tiny_llm) as running:
        yield running


def test_the_key_holds_what_changes_an_answer_and_nothing_else(server, tiny_llm):
    def key(prompt="text_first", **changes) -> str:
        return build_answerer("x", spec_of(server, prompt, **changes), tiny_llm).key

    same = [
        {},
        {"url": server.url + "/", "concurrency": 2, "timeout_s": 5.0, "max_retries": 1},
        {"batch_tokens": 64, "usd_per_million_tokens": 3.0},
        {"top_logprobs": 7},  # not used by a server that is exact
    ]
    assert len({key(**changes) for changes in same}) == 1
    assert key(api="chat", concurrency=2) == key(api="chat")
    keys = [key(), key("question_first"), key(label="b"), key(api="chat"), key(api="chat", top_logprobs=7)]
    keys += [key(api="chat", label="b"), key("question_first", api="chat"), key(api="chat", model="other")]
    keys += [key(logprobs="top"), key(logprobs="top", top_logprobs=7)]
    keys += [build_answerer("r", spec_for("reference", threads=1), tiny_llm).key]
    assert len(set(keys)) == len(keys)


def test_a_plan_needs_no_server_and_costs_what_a_server_bills(tiny_llm, texts, questions):
    section = {"url": "http://127.0.0.1:9/v1", "model": "tiny", "usd_per_million_tokens": 2.5, "api_key_env": "NOWHERE"}
    answerer = build_answerer("x", spec_for("server", server=section), tiny_llm)
    expected = build_answerer("r", spec_for("reference", threads=1), tiny_llm)
    cost, tokens = answerer.cost(texts, questions), expected.cost(texts, questions).tokens
    assert (cost.tokens, cost.usd) == (tokens, pytest.approx(2.5e-6 * tokens))
    chat = build_answerer("x", spec_for("server", prompt="explain", server={**section, "api": "chat"}), None)
    letters = len("Text: abcd\nQuestion: efgh?\nStart your answer with yes or no and give your reasons after that.")
    assert chat.cost(["abcd"] * 2, ["efgh?"] * 2) == Cost(4 * letters // 4, 0, pytest.approx(2.5e-6 * letters))
    assert chat.key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server": {"api": "chat"}, "prompt": "refined"}, "has a `prefill`, which api `chat` can't send"),
        ({"server": {"api": "chat"}, "prompt": "completion"}, "plain text .*take api `completions`"),
        ({"server": {"api": "chat"}, "prompt": None}, "needs a `prompt`"),
        ({"prompt": None}, "needs a `prompt`"),
        ({"dtype": "bfloat16"}, "the server chooses the dtype"),
        ({"server": {"url": "127.0.0.1:8000/v1"}}, "server.url: `127.0.0.1:8000/v1`"),
        ({"server": {"url": "ftp://host/v1"}}, "server.url"),
        ({"server": {"url": "http://"}}, "server.url"),
        ({"server": {"url": "http://me:secret@host/v1"}}, r"server.url: .*`server.api_key_env`"),
        ({"server": {"url": "http://host/v1?version=1"}}, "server.url"),
    ],
)
def test_wrong_settings_are_refused_at_once(tiny_llm, changes, message):
    server = {"url": "http://127.0.0.1:9/v1", "model": "tiny", **changes.pop("server", {})}
    with pytest.raises(BadParameter, match=rf"answers\.spec\.mine: .*{message}") as error:
        build_answerer("mine", spec_for("server", server=server, **changes), tiny_llm)
    assert "secret" not in str(error.value)
