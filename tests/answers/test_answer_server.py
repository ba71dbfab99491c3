"""Engine `server` against a real HTTP server that runs the tiny model: requests, answers, key and cost."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers import build_answerer
from qaemb.answers.engines.server import client as server_client

from .conftest import QUESTIONS, TEXTS, spec_for
from .model_server import Abilities, ModelServer, serving, spec_of

LABELS = ({"Yes", "yes", "YES", " Yes", " yes", " YES"}, {"No", "no", "NO", " No", " no", " NO"})
K = 90  # of 500 tokens: some cells have both sides, some one, some none


@pytest.fixture(scope="module")
def running(tiny_llm):
    with serving(tiny_llm) as server:
        yield server


@pytest.fixture(scope="module")
def expected(tiny_llm):
    """The answers of engine `reference` to all texts and questions."""
    return build_answerer("r", spec_for("reference", threads=1), tiny_llm).answer(TEXTS, QUESTIONS)


@pytest.fixture
def server(running, monkeypatch) -> ModelServer:
    """The server, able to do everything, and without memory."""
    running.can, running.bodies = Abilities(), []
    monkeypatch.setattr(server_client, "_sleep", lambda seconds: pytest.fail(f"paused for {seconds} s"))
    return running


def by_rule(tokens: list[tuple[str, float]]) -> tuple[float, float, int]:
    """The rule for top-k log-probs, written out plainly with probabilities: margin, mass, sides found."""
    p = [(token, np.exp(value)) for token, value in tokens]
    yes, no = (sum(value for token, value in p if token in side) for side in LABELS)
    bound = min(*(value for _, value in p), 1 - sum(value for _, value in p))
    if yes == no == 0:
        return 0.0, 0.0, 0
    return float(np.log((yes or bound) / (no or bound))), yes + no, int(yes > 0) + int(no > 0)


def check_rule(answers, figures, replies: list[list[tuple[str, float]]]) -> None:
    expected = [by_rule(tokens) for tokens in replies]
    np.testing.assert_allclose(answers.margin.ravel(), [margin for margin, _, _ in expected], atol=1e-3)
    np.testing.assert_allclose(answers.mass.ravel(), [mass for _, mass, _ in expected], atol=1e-5)
    sides = [n for _, _, n in expected]
    assert len(set(sides)) > 1
    assert figures["share_bounded"] == sides.count(1) / len(sides)
    assert figures["share_unanswered"] == sides.count(0) / len(sides)


@pytest.mark.parametrize("prompt", ["text_first", "question_first", "completion", "refined"])
def test_exact_answers_are_those_of_reference(server, tiny_llm, texts, questions, prompt):
    answerer = build_answerer("x", spec_of(server, prompt), tiny_llm)
    expected = build_answerer("r", spec_for("reference", prompt=prompt, threads=1), tiny_llm).answer(texts, questions)
    steps: list[int] = []
    answers = answerer.answer(texts, questions, steps.append)
    np.testing.assert_allclose(answers.margin, expected.margin, atol=1e-3)
    np.testing.assert_allclose(answers.mass, expected.mass, atol=1e-3)
    assert sum(steps) == answers.margin.size
    assert answerer.spec["logprobs"] == "exact"
    figures = answerer.figures
    assert (figures["share_bounded"], figures["share_unanswered"], figures["retries"]) == (0, 0, 0)
    assert figures["requests"] == len(server.bodies) > 1


@pytest.mark.parametrize(
    ("can", "logprobs", "asked"),
    [
        (Abilities(exact=False), "top_ids", 1),
        (Abilities(exact=False, strict=True), "top_ids", 1),
        (Abilities(exact=False, ids=False), "top_words", 2),
        (Abilities(exact=False, ids=False, strict=True), "top_words", 2),
        (Abilities(batched=False), "exact", 2),
        (Abilities(batched=False, exact=False, ids=False), "top_words", 4),
    ],
)
def test_the_form_is_found_by_asking_and_answers_follow_the_rule(server, tiny_llm, expected, can, logprobs, asked):
    server.can = can
    kind = "exact" if logprobs == "exact" else "top"
    answerer = build_answerer("x", spec_of(server, top_logprobs=K, logprobs=kind), tiny_llm)
    assert answerer.spec["logprobs"] == kind
    assert not server.bodies  # the key is known without the server
    answerer.answer(TEXTS[:1], QUESTIONS[:1])
    assert len(server.bodies) == asked + 1
    answerer = build_answerer("x", spec_of(server, top_logprobs=K, logprobs=kind), tiny_llm)  # with figures from 0
    answers = answerer.answer(TEXTS, QUESTIONS)
    assert isinstance(server.bodies[-1]["prompt"][0], list) == can.batched
    if logprobs == "exact":
        np.testing.assert_allclose(answers.margin, expected.margin, atol=1e-3)
        return
    rendered, decode = answerer.renderer.render(TEXTS, QUESTIONS), server.tokenizer.decode
    tops = [server.top(shared + suffix, K) for shared in rendered.shared for suffix in rendered.suffixes]
    if logprobs == "top_words":  # tokens that are written alike are one entry of a reply
        check_rule(answers, answerer.figures, [list({decode([i]): v for i, v in top}.items()) for top in tops])
    else:
        check_rule(answers, answerer.figures, [[(decode([i]), v) for i, v in top] for top in tops])


@pytest.mark.parametrize("prompt", ["text_first", "question_first", "few_shot", "explain"])
def test_chat_answers_follow_the_rule(server, prompt):
    answerer = build_answerer("x", spec_of(server, prompt, api="chat", top_logprobs=K), None)
    texts = [*TEXTS[:5], "a {question} in a text"]
    answers = answerer.answer(texts, QUESTIONS)
    replies = []
    for text in texts:
        for question in QUESTIONS:
            messages = conversation(answerer.prompt, text, question)
            ids = server.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            replies.append([(server.tokenizer.decode([i]), v) for i, v in server.top(ids, K)])
    check_rule(answers, answerer.figures, replies)


def conversation(prompt, text, question) -> list[dict[str, str]]:
    """The messages of a cell, filled in by string formatting."""
    turns = [("system", prompt.system)] if prompt.system else []
    for example in prompt.few_shot:
        turns += [("user", prompt.message.format(text=example.text, question=example.question))]
        turns += [("assistant", example.answer)]
    turns += [("user", prompt.message.format(text=text, question=question))]
    return [{"role": role, "content": content} for role, content in turns]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=5),
    columns=st.lists(st.sampled_from(range(len(QUESTIONS))), min_size=1, max_size=3),
)
@pytest.mark.parametrize("exact", [True, False])
def test_adding_removing_and_reordering_moves_no_other_cell(server, tiny_llm, exact, rows, columns):
    server.can = Abilities(exact=exact)
    spec = spec_of(server, top_logprobs=K, logprobs="exact" if exact else "top")
    answerer = build_answerer("x", spec, tiny_llm)
    whole = answerer.answer(TEXTS, QUESTIONS)
    part = answerer.answer([TEXTS[row] for row in rows], [QUESTIONS[column] for column in columns])
    np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
    np.testing.assert_allclose(part.mass, whole.mass[np.ix_(rows, columns)], atol=1e-4)


@pytest.mark.parametrize("prompt", ["text_first", "question_first"])
@pytest.mark.parametrize(("batch_tokens", "n_requests"), [(64, {18}), (256, set(range(2, 18))), (4096, {1})])
def test_a_request_is_as_full_as_it_may_be_and_prompts_stand_prefix_by_prefix(
    server, tiny_llm, prompt, batch_tokens, n_requests
):
    answerer = build_answerer("x", spec_of(server, prompt, batch_tokens=batch_tokens, concurrency=1), tiny_llm)
    answerer.answer(TEXTS, QUESTIONS)
    asked = [body["prompt"] for body in server.bodies[1:]]
    assert len(asked) in n_requests
    assert all(len(some) == 1 or sum(map(len, some)) <= batch_tokens for some in asked)
    assert all(sum(map(len, some)) + len(more[0]) > batch_tokens for some, more in pairwise(asked))
    rendered = answerer.renderer.render(TEXTS, QUESTIONS)
    expected = [shared + suffix for shared in rendered.shared for suffix in rendered.suffixes]
    assert [ids for some in asked for ids in some] == expected
    assert answerer.cost(TEXTS, QUESTIONS).tokens == sum(map(len, expected))


@pytest.mark.parametrize(("prompt", "inner"), [("text_first", QUESTIONS), ("question_first", TEXTS)])
def test_chat_requests_that_begin_alike_follow_each_other(server, prompt, inner):
    build_answerer("x", spec_of(server, prompt, api="chat", concurrency=1), None).answer(TEXTS, QUESTIONS)
    asked = [body["messages"][-1]["content"] for body in server.bodies[1:]]
    assert len(asked) == len(TEXTS) * len(QUESTIONS)
    assert all(content.endswith(inner[number % len(inner)]) for number, content in enumerate(asked))


def test_a_long_text_is_cut_as_by_every_engine(server, tiny_llm, questions):
    long = "far " * 2000 + "the apple fell on the cat"
    answerer = build_answerer("x", spec_of(server), tiny_llm)
    assert answerer.cost(["short", long], questions).n_cut == 1
    expected = build_answerer("r", spec_for("reference", threads=1), tiny_llm).answer([long], questions)
    np.testing.assert_allclose(answerer.answer([long], questions).margin, expected.margin, atol=1e-3)


def test_it_answers_inside_a_running_event_loop(server, tiny_llm, expected):
    async def notebook():
        return build_answerer("x", spec_of(server), tiny_llm).answer(TEXTS, QUESTIONS)

    np.testing.assert_allclose(asyncio.run(notebook()).margin, expected.margin, atol=1e-3)


def test_the_newer_name_of_the_limit_is_used_where_the_server_says_so(server):
    chat = spec_of(server, api="chat", top_logprobs=K)
    older = build_answerer("x", chat, None).answer(TEXTS[:2], QUESTIONS)
    server.can = Abilities(max_tokens="max_completion_tokens")
    answerer = build_answerer("x", chat, None)
    newer = answerer.answer(TEXTS[:2], QUESTIONS)
    assert server.bodies[-1]["max_completion_tokens"] == 1
    np.testing.assert_array_equal(older.margin, newer.margin)


def test_thinking_is_switched_off_where_the_prompt_says_so(server):
    for prompt, expected in (("no_thinking", {"enable_thinking": False}), ("text_first", None)):
        build_answerer("x", spec_of(server, prompt, api="chat"), None).answer(TEXTS[:1], QUESTIONS[:1])
        assert server.bodies[-1].get("chat_template_kwargs") == expected
