"""The contract of `Answerer`, for every engine of the registry, on tiny models with real tokenizers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers import Answerer, build_answerer
from qaemb.answers.engines import ENGINES
from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.errors import BadInput, BadParameter

from .conftest import CONTEXT, QUESTIONS, TEXTS, spec_for
from .model_server import serving

MARKS = {"vllm": [pytest.mark.vllm]}  # engines that run in an environment of their own, by the marker of their tests
PROMPTS = ("text_first", "question_first")
CAUSAL = sorted(
    name for name, engine in ENGINES.items() if isinstance(engine, type) and issubclass(engine, CausalAnswerer)
)


def case(engine: str, *values: object):
    """A tuple as parameter, with the marks that tests of the engine need."""
    name = "-".join(str(value) for value in (engine, *values) if value is not None)
    return pytest.param((engine, *values), marks=MARKS.get(engine, []), id=name)


CASES = [
    *(case(name, prompt) for name in (*CAUSAL, "server") for prompt in PROMPTS),
    # `published` computes nothing, and has tests of its own.
    *(case(name, None) for name in sorted(set(ENGINES) - {*CAUSAL, "server", "published"})),
]
BATCHES = [  # vLLM's engine would start anew for each size; 256 makes it cut prompts into pieces
    case(name, prompt, tokens)
    for name in CAUSAL
    for prompt in PROMPTS
    for tokens in ((256,) if name == "vllm" else (64, 4096))
]


@pytest.fixture(scope="module")
def running_vllm(tiny_llm: Path):
    """vLLM takes half a minute to start: while this lives, all answerers of this module share its engine."""
    answerer = build_answerer("v", spec_for("vllm"), tiny_llm)
    assert answerer.engine.longest < CONTEXT
    yield
    answerer.close()


@pytest.fixture(scope="module")
def server_section(tiny_llm: Path):
    """The section `server` for a running server."""
    with serving(tiny_llm) as server:
        yield {"url": server.url, "model": "tiny"}


@pytest.fixture(scope="module")
def needs(request) -> Callable[[str], dict[str, object]]:
    """Starts what an engine needs, and returns the settings that say where it is."""

    def start(engine: str) -> dict[str, object]:
        if engine == "vllm":
            request.getfixturevalue("running_vllm")
        return {"server": request.getfixturevalue("server_section")} if engine == "server" else {}

    return start


@pytest.fixture(scope="module", params=CASES)
def answerer(request, needs, tiny_llm: Path, tiny_encoder: Path) -> Answerer:
    engine, prompt = request.param
    settings = spec_for(engine, prompt=prompt, **needs(engine))
    return build_answerer("x", settings, tiny_llm if prompt else tiny_encoder)


def test_answers_have_the_grids_shape_and_type(answerer, texts, questions):
    answers = answerer.answer(texts, questions)
    for values in (answers.margin, answers.mass):
        assert values.shape == (len(texts), len(questions))
        assert values.dtype == np.float32
    assert np.all((answers.mass >= 0) & (answers.mass <= 1))
    assert answers.margin.std() > 0.05


def test_one_text_and_one_question_alone_agree_with_the_batch(answerer, texts, questions):
    whole = answerer.answer(texts, questions)
    for row, text in enumerate(texts):
        alone = answerer.answer([text], questions[1:2])
        np.testing.assert_allclose(alone.margin[0, 0], whole.margin[row, 1], atol=1e-4)
        np.testing.assert_allclose(alone.mass[0, 0], whole.mass[row, 1], atol=1e-4)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=8),
    columns=st.lists(st.sampled_from(range(len(QUESTIONS))), min_size=1, max_size=5),
)
def test_adding_removing_and_reordering_moves_no_other_cell(answerer, rows, columns):
    whole = answerer.answer(TEXTS, QUESTIONS)
    part = answerer.answer([TEXTS[row] for row in rows], [QUESTIONS[column] for column in columns])
    np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
    np.testing.assert_allclose(part.mass, whole.mass[np.ix_(rows, columns)], atol=1e-4)


def test_progress_counts_every_cell_once(answerer, texts, questions):
    steps: list[int] = []
    answerer.answer(texts, questions, progress=steps.append)
    assert sum(steps) == len(texts) * len(questions)


@pytest.mark.parametrize(
    ("texts", "questions", "message"),
    [
        (["good", "  \n"], QUESTIONS, "text number 1 is empty"),
        (["good", float("nan")], QUESTIONS, "text number 1 is not a string"),
        (["a lone \ud800"], QUESTIONS, "text number 0 is not valid Unicode"),
        (["good"], [""], "question number 0 is empty"),
        ([], QUESTIONS, "no text"),
        (["good"], [], "no question"),
    ],
)
def test_bad_inputs_are_named(answerer, texts, questions, message):
    with pytest.raises(BadInput, match=message):
        answerer.answer(texts, questions)


def test_a_long_text_is_cut_and_counted(answerer, questions):
    long = "far " * 2000 + "the apple fell on the cat"
    longer = "near " * 3000 + long
    assert answerer.cost(["short", long, longer], questions).n_cut == 2
    answers = answerer.answer([long, longer], questions)
    np.testing.assert_allclose(answers.margin[0], answers.margin[1], atol=1e-4)  # the end is what counts
    assert answerer.cost([long], questions).tokens < CONTEXT * (len(questions) + 1)


def test_cost_grows_with_texts_and_questions(answerer, texts, questions):
    whole, fewer = answerer.cost(texts, questions), answerer.cost(texts[:2], questions)
    assert whole.n_cut == 0
    assert whole.tokens > fewer.tokens >= answerer.cost(texts[:2], questions[:1]).tokens > 0


@pytest.mark.parametrize("batch", BATCHES)
def test_every_causal_engine_agrees_with_reference(batch, tiny_llm, needs, texts, questions):
    engine, prompt, batch_tokens = batch
    expected = build_answerer("r", spec_for("reference", prompt=prompt), tiny_llm)
    settings = spec_for(engine, prompt=prompt, batch_tokens=batch_tokens, **needs(engine))
    tested = build_answerer("e", settings, tiny_llm)
    assert tested.key == expected.key
    a, b = expected.answer(texts, questions), tested.answer(texts, questions)
    np.testing.assert_allclose(b.margin, a.margin, atol=1e-4)
    np.testing.assert_allclose(b.mass, a.mass, atol=1e-4)


def test_what_is_not_an_answer_is_not_in_the_key(tiny_llm):
    keys = {
        build_answerer("x", spec_for(engine, batch_tokens=tokens, threads=threads), tiny_llm).key
        for engine, tokens, threads in [
            ("reference", 64, None),
            ("shared", 64, 1),
            ("shared", 4096, 2),
            ("vllm", 64, 1),
        ]
    }
    assert len(keys) == 1


def test_what_changes_an_answer_changes_the_key(tiny_llm, tiny_encoder, monkeypatch):
    specs = [
        (spec_for("shared"), tiny_llm),
        (spec_for("shared", prompt="question_first"), tiny_llm),
        (spec_for("shared", dtype="bfloat16"), tiny_llm),
        (spec_for("student"), tiny_encoder),
        (spec_for("student", scale=10.0), tiny_encoder),
    ]
    keys = [build_answerer("x", spec, folder).key for spec, folder in specs]
    monkeypatch.setattr("qaemb.answers.engines.causal.engine_version", lambda: "another")
    monkeypatch.setattr("qaemb.answers.engines.student.engine_version", lambda: "another")
    keys += [build_answerer("x", spec, folder).key for spec, folder in specs]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shared_is_near_reference_in_every_dtype(dtype, tiny_llm, texts, questions):
    a, b = (
        build_answerer("x", spec_for(e, dtype=dtype), tiny_llm).answer(texts, questions)
        for e in ("reference", "shared")
    )
    np.testing.assert_allclose(b.margin, a.margin, atol=1e-4 if dtype == "float32" else 0.1)


def test_wrong_settings_name_the_answerer(tiny_llm, tiny_encoder):
    with pytest.raises(BadParameter, match=r"answers\.spec\.mine: .*needs a `prompt`"):
        build_answerer("mine", spec_for("shared", prompt=None), tiny_llm)
    with pytest.raises(BadParameter, match=r"no prompt `nowhere`; there are .*question_first.*, text_first"):
        build_answerer("mine", spec_for("shared", prompt="nowhere"), tiny_llm)
    with pytest.raises(BadParameter, match="takes no `prompt`"):
        build_answerer("mine", spec_for("student", prompt="text_first"), tiny_encoder)
    with pytest.raises(BadParameter, match="computes in float32"):
        build_answerer("mine", spec_for("student", dtype="bfloat16"), tiny_encoder)
    with pytest.raises(BadInput, match="needs causal"):
        build_answerer("mine", spec_for("shared"), tiny_encoder)
    with pytest.raises(BadInput, match="needs an encoder"):
        build_answerer("mine", spec_for("student"), tiny_llm)
    with pytest.raises(BadInput, match="does not exist"):
        build_answerer("mine", spec_for("shared"), tiny_llm / "nowhere")


def test_threads_are_restored(tiny_llm, texts, questions):
    import torch

    before = torch.get_num_threads()
    build_answerer("x", spec_for("shared", threads=before + 1), tiny_llm).answer(texts[:1], questions[:1])
    assert torch.get_num_threads() == before
