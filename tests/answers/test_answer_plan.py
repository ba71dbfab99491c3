"""Plans: blocks cover the missing cells once, and the line for the user says what there is to say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qaemb.answers import build_answerer
from qaemb.answers.plan import Block, Plan, Wanted, _make_blocks, make_plan, timed
from qaemb.errors import BadInput
from qaemb.identity import text_id

from .conftest import spec_for


def wanted_for(texts, questions) -> Wanted:
    return Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in questions], questions)


@given(
    missing=st.tuples(st.integers(1, 12), st.integers(1, 5)).flatmap(lambda shape: arrays(bool, shape)),
    block_texts=st.integers(1, 6),
)
def test_blocks_cover_the_missing_cells_once_and_no_others(missing, block_texts):
    count = np.zeros(missing.shape, int)
    for block in _make_blocks(missing, block_texts):
        assert 1 <= len(block.rows) <= block_texts
        assert block.n_cells > 0
        count[np.ix_(block.rows, block.columns)] += 1
    np.testing.assert_array_equal(count, missing.astype(int))


def test_a_new_question_is_asked_alone_and_texts_keep_their_order():
    missing = np.zeros((5, 3), bool)
    missing[:, 2] = True
    assert list(_make_blocks(missing, 3)) == [Block((0, 1, 2), (2,)), Block((3, 4), (2,))]
    missing[1] = True
    assert list(_make_blocks(missing, 9)) == [Block((0, 2, 3, 4), (2,)), Block((1,), (0, 1, 2))]


def test_after_a_crash_the_remaining_blocks_are_those_of_the_first_plan():
    first = list(_make_blocks(np.ones((10, 2), bool), 3))
    missing = np.ones((10, 2), bool)
    missing[list(first[0].rows)] = False
    assert list(_make_blocks(missing, 3)) == first[1:]


@pytest.mark.parametrize("engine", ["reference", "shared", "student"])
def test_a_plan_counts_the_tokens_of_its_cells(engine, tiny_llm, tiny_encoder, texts, questions):
    answerer = build_answerer("x", spec_for(engine), tiny_encoder if engine == "student" else tiny_llm)
    wanted = wanted_for(texts, questions)
    plan = make_plan(answerer, wanted, np.ones((len(texts), len(questions)), bool), 2)
    assert (plan.n_wanted, plan.n_missing, len(plan.blocks)) == (18, 18, 3)
    assert plan.tokens == answerer.cost(texts, questions).tokens
    assert plan.seconds is None
    assert timed(answerer, wanted, plan).seconds > 0


def test_nothing_to_do_takes_no_time(tiny_llm, texts, questions):
    answerer = build_answerer("x", spec_for("shared"), tiny_llm)
    wanted = wanted_for(texts, questions)
    plan = timed(answerer, wanted, make_plan(answerer, wanted, np.zeros((len(texts), len(questions)), bool), 2))
    assert plan == Plan(18, (), 0, 0.0)
    assert plan.describe() == "18 cells wanted, 18 in the store, 0 to answer"
    assert "model" not in vars(answerer)  # a stage with nothing to do does not load the weights


def test_the_line_says_cells_tokens_and_time_or_that_it_is_unknown():
    plan = Plan(3000, (Block(tuple(range(500)), (0, 1, 2, 3)),), 45_000)
    line = "3,000 cells wanted, 1,000 in the store, 2,000 to answer in 1 blocks, 45,000 tokens, time "
    assert plan.describe() == line + "unknown"
    times = {0.2: "1 s", 42.4: "42 s", 600.0: "10 min", 9000.0: "2.5 h"}
    assert [replace(plan, seconds=s).describe() for s in times] == [f"{line}about {t}" for t in times.values()]


def test_ids_must_be_unique_and_the_hashes_of_their_texts():
    with pytest.raises(BadInput, match=r"segment .* stands twice, again at number 2"):
        wanted_for(["a", "b", "a"], ["q?"]).check()
    with pytest.raises(BadInput, match=r"question .* stands twice"):
        wanted_for(["a"], ["q?", "q?"]).check()
    with pytest.raises(BadInput, match=r"segment 0000 \(number 1\) is not the hash of its text"):
        Wanted([text_id("a"), "0000"], ["a", "b"], [text_id("q?")], ["q?"]).check()
    wanted_for(["a", "b"], ["q?", "r?"]).check()


def test_a_billed_plan_names_its_price_and_answers_nothing_for_a_time(tiny_llm, texts, questions):
    section = {"url": "http://127.0.0.1:9/v1", "model": "tiny", "usd_per_million_tokens": 2.5}  # nothing listens there
    answerer = build_answerer("x", spec_for("server", server=section), tiny_llm)
    wanted = wanted_for(texts, questions)
    plan = timed(answerer, wanted, make_plan(answerer, wanted, np.ones((len(texts), len(questions)), bool), 9))
    assert plan.usd == pytest.approx(2.5e-6 * plan.tokens)
    assert plan.seconds is None
    assert replace(plan, usd=1234.5).describe().endswith("time unknown, about 1,234.50 USD")
