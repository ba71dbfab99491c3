"""Engine `server` against a real `vllm serve`: the contract, the key, and a server that is killed in the middle."""

import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers import Answerer, build_answerer
from qaemb.answers.engines.server import client as server_client
from qaemb.answers.plan import Wanted, make_plan
from qaemb.answers.run import run_plan
from qaemb.answers.store import Store
from qaemb.errors import BadParameter, QaembError
from qaemb.identity import text_id

from .conftest import CONTEXT, QUESTIONS, TEXTS, spec_for
from .model_server import loaded
from .test_answer_server import check_rule, conversation
from .vllm_server import KEY_VARIABLE, VllmServer, vllm_serving

pytestmark = pytest.mark.vllm

K = 20  # the most that vLLM gives, if it is not told otherwise


@pytest.fixture(scope="session")
def server(tiny_llm, tmp_path_factory) -> VllmServer:
    with vllm_serving(tiny_llm, tmp_path_factory.mktemp("log") / "vllm.log") as running:
        yield running


def reference(folder: Path, prompt: str = "text_first") -> Answerer:
    return build_answerer("r", spec_for("reference", prompt=prompt), folder)


def asking(
    server: VllmServer, folder: Path, prompt: str = "text_first", batch_tokens: int = 256, **changes
) -> Answerer:
    section = {**server.section, **changes}
    return build_answerer("x", spec_for("server", prompt=prompt, batch_tokens=batch_tokens, server=section), folder)


@pytest.mark.parametrize("prompt", ["text_first", "question_first", "completion", "refined"])
def test_answers_are_those_of_reference_for_any_text(server, tiny_llm, prompt):
    """Among the texts are one with the template's control tokens and one that is not English."""
    answerer = asking(server, tiny_llm, prompt)
    answers, expected = answerer.answer(TEXTS, QUESTIONS), reference(tiny_llm, prompt).answer(TEXTS, QUESTIONS)
    np.testing.assert_allclose(answers.margin, expected.margin, atol=1e-3)
    np.testing.assert_allclose(answers.mass, expected.mass, atol=1e-4)
    assert answers.margin.std() > 0.05
    assert answerer.spec["logprobs"] == "exact"
    assert answerer.figures["share_bounded"] == answerer.figures["share_unanswered"] == 0


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=8),
    columns=st.lists(st.sampled_from(range(len(QUESTIONS))), min_size=1, max_size=5),
)
def test_adding_removing_and_reordering_moves_no_other_cell(server, tiny_llm, rows, columns):
    answerer = asking(server, tiny_llm)
    whole = answerer.answer(TEXTS, QUESTIONS)
    part = answerer.answer([TEXTS[row] for row in rows], [QUESTIONS[column] for column in columns])
    np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
    np.testing.assert_allclose(part.mass, whole.mass[np.ix_(rows, columns)], atol=1e-4)


def test_many_requests_at_once_get_the_answers_of_their_own_cells(server, tiny_llm):
    texts = [f"I ate {number} apples" for number in range(40)]
    one = asking(server, tiny_llm, batch_tokens=4096, concurrency=1).answer(texts, QUESTIONS)
    many = asking(server, tiny_llm, batch_tokens=64, concurrency=32).answer(texts, QUESTIONS)
    np.testing.assert_allclose(many.margin, one.margin, atol=1e-4)
    assert one.margin.std() > 0.05


def test_a_long_text_is_cut_and_its_end_counts(server, tiny_llm):
    long = "far " * 2000 + "the apple fell on the cat"
    answerer = asking(server, tiny_llm)
    assert answerer.cost(["short", long], QUESTIONS).n_cut == 1
    answers = answerer.answer([long, "near " * 3000 + long], QUESTIONS)
    np.testing.assert_allclose(answers.margin[0], answers.margin[1], atol=1e-4)
    np.testing.assert_allclose(answers.margin[:1], reference(tiny_llm).answer([long], QUESTIONS).margin, atol=1e-3)


def test_a_prompt_that_is_too_long_for_the_server_is_named(server, tiny_llm, monkeypatch):
    answerer = asking(server, tiny_llm)
    monkeypatch.setattr(answerer.renderer, "_max_text", 2 * CONTEXT)
    with pytest.raises(BadParameter, match=r"answered 400: .*; its longest prompt has 1\d\d\d tokens; the 1 cells of"):
        answerer.answer(["far " * 2000], QUESTIONS[:1])


def test_without_given_tokens_the_rule_for_the_most_likely_ones_holds(server, tiny_llm):
    answerer = asking(server, tiny_llm, "explain", top_logprobs=K, logprobs="top")
    rendered = answerer.renderer.render(TEXTS, QUESTIONS)
    prompts = [shared + suffix for shared in rendered.shared for suffix in rendered.suffixes]
    check_rule(answerer.answer(TEXTS, QUESTIONS), answerer.figures, [top(tiny_llm, ids) for ids in prompts])


def test_chat_follows_the_rule(server, tiny_llm):
    section = {**server.section, "api": "chat", "top_logprobs": K}
    spec = spec_for("server", model=None, prompt="explain", server=section)
    answerer = build_answerer("x", spec, None)
    talks = [conversation(answerer.prompt, text, question) for text in TEXTS for question in QUESTIONS]
    tokenizer = loaded(tiny_llm).tokenizer
    prompts = [tokenizer.apply_chat_template(talk, add_generation_prompt=True)["input_ids"] for talk in talks]
    check_rule(answerer.answer(TEXTS, QUESTIONS), answerer.figures, [top(tiny_llm, ids) for ids in prompts])


def top(folder: Path, ids: list[int]) -> list[tuple[str, float]]:
    """The most likely tokens after a prompt, by transformers."""
    pairs = sorted(enumerate(loaded(folder).logprobs(ids)), key=lambda pair: -pair[1])[:K]
    return [(loaded(folder).tokenizer.decode([token]), value) for token, value in pairs]


def test_a_wrong_key_or_model_is_told(server, tiny_llm, monkeypatch):
    with pytest.raises(BadParameter, match=r"404: .*`server.model` must be one that the server has: tiny"):
        asking(server, tiny_llm, model="gpt-9").answer(TEXTS, QUESTIONS)
    with pytest.raises(BadParameter, match=r"\(401\): set `server.api_key_env`"):
        asking(server, tiny_llm, api_key_env=None).answer(TEXTS, QUESTIONS)
    monkeypatch.setenv(KEY_VARIABLE, "sk-wrong")
    with pytest.raises(BadParameter, match=rf"\(401\): the key in environment variable {KEY_VARIABLE} is wrong"):
        asking(server, tiny_llm).answer(TEXTS, QUESTIONS)


def test_a_server_killed_in_the_middle_loses_one_block_and_the_run_goes_on(server, tiny_llm, tmp_path, monkeypatch):
    monkeypatch.setattr(server_client, "_FIRST_PAUSE_S", 0.01)
    texts = [f"I ate {number} apples" for number in range(20)]
    wanted = Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in QUESTIONS], QUESTIONS)
    answerer = asking(server, tiny_llm, batch_tokens=64, concurrency=2, max_retries=3)
    store = Store(tmp_path, answerer.key)
    plan = make_plan(answerer, wanted, np.ones((len(texts), len(QUESTIONS)), bool), block_texts=4)
    done: list[int] = []
    answer = answerer.answer

    def killed_in_the_third_block(texts, questions, progress):
        def finished(n_cells: int) -> None:
            done.append(n_cells)
            if sum(done) == 2 * 12 + 3:
                server.stop(signal.SIGKILL)

        return answer(texts, questions, finished)

    monkeypatch.setattr(answerer, "answer", killed_in_the_third_block)
    with pytest.raises(QaembError, match="failed in 4 of 4 tries, .*the 12 cells of this call are lost, .*run again"):
        run_plan(answerer, store, wanted, plan, "test")
    server.start()
    again = asking(server, tiny_llm)
    missing = np.isnan(store.read(wanted.segment_ids, wanted.question_ids).margin)
    stats = run_plan(again, store, wanted, make_plan(again, wanted, missing, 4), "test")
    assert stats.cells == (20 - 2 * 4) * 3
    np.testing.assert_allclose(
        store.read(wanted.segment_ids, wanted.question_ids).margin,
        reference(tiny_llm).answer(texts, QUESTIONS).margin,
        atol=1e-3,
    )
