"""A cascade over the store: its members' cells, each bought once, and sparse plans in few blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qaemb.answers import CascadeAnswerer, build_answerer
from qaemb.answers.cascade import Evidence, Thresholds
from qaemb.answers.plan import Wanted, _make_blocks, _question_blocks, cover, make_plan
from qaemb.answers.stored import Stored
from qaemb.errors import StoreError
from qaemb.identity import text_id

from .conftest import QUESTIONS, TEXTS, spec_for

EVIDENCE = Evidence(0.95, 0.9, 0.952, 0.97, 0.96, 0.8, 0.9, 0.98, 0.6, 1800, 60)


@pytest.fixture
def wanted() -> Wanted:
    return Wanted([text_id(t) for t in TEXTS], TEXTS, [text_id(q) for q in QUESTIONS], QUESTIONS)


@pytest.fixture
def stored(tiny_llm, tiny_encoder, wanted, tmp_path) -> Stored:
    """A cascade whose student is sure of every margin above 0, and of none of the last question."""
    student = build_answerer("small", spec_for("student"), tiny_encoder)
    teacher = build_answerer("llm", spec_for("shared"), tiny_llm)
    bands = dict.fromkeys(wanted.question_ids[:2], (-np.inf, 0.0))
    thresholds = Thresholds(bands, EVIDENCE, student.key, teacher.key)
    return Stored("cascade", CascadeAnswerer(student, teacher, thresholds, ("small", "llm")), tmp_path)


def sure_cells(stored: Stored) -> np.ndarray:
    margin = stored.answerer.student.answer(TEXTS, QUESTIONS).margin
    return (margin >= 0) & (np.arange(3) < 2)


def test_its_cells_are_its_members_stored_cells(stored, wanted):
    n_sure = int(sure_cells(stored).sum())
    assert 0 < n_sure < 12
    plans = stored.plan(wanted, 4)
    assert {name: (plan.n_wanted, plan.n_missing) for name, plan in plans.items()} == {
        "small": (18, 0),
        "llm": (18 - n_sure, 18 - n_sure),
    }
    first, *members = stored.describe("answers j", plans).splitlines()
    saved = f"{n_sure} of 18 calls saved ({100 * n_sure / 18:.1f} %)"
    assert first == f"answers j: {stored.answerer.claim}; {saved}"
    assert members == [f"answers j, {name}: {plan.describe()}" for name, plan in plans.items()]
    assert stored.run(wanted, plans, "j").cells == 18 - n_sure
    assert {path.name for path in stored.root.iterdir()} == {stored.answerer.student.key, stored.answerer.teacher.key}
    live = stored.answerer.answer(TEXTS, QUESTIONS)
    np.testing.assert_allclose(stored.read(wanted).margin, live.margin, atol=1e-4)
    np.testing.assert_allclose(stored.read(wanted).mass, live.mass, atol=1e-4)
    assert stored.figures(wanted)["calls_saved"] == n_sure
    assert stored.figures(wanted)["share_saved"] == pytest.approx(n_sure / 18, abs=1e-6)


def test_nothing_is_bought_twice(stored, wanted):
    stored.run(wanted, stored.plan(wanted, 4), "j")
    before = sorted(stored.root.rglob("*"))
    again = stored.plan(wanted, 4)
    assert [plan.n_missing for plan in again.values()] == [0, 0]
    assert stored.run(wanted, again, "j").cells == 0
    assert sorted(stored.root.rglob("*")) == before


def test_a_stored_cell_of_the_teacher_does_not_replace_one_of_which_the_student_is_sure(stored, wanted):
    stored.run(wanted, stored.plan(wanted, 4), "j")
    before = stored.read(wanted)
    teacher = Stored("llm", stored.answerer.teacher, stored.root)
    teacher.run(wanted, teacher.plan(wanted, 4), "llm")
    after = stored.read(wanted)
    np.testing.assert_array_equal(after.margin, before.margin)
    differ = np.abs(after.margin - teacher.read(wanted).margin) > 1e-3
    np.testing.assert_array_equal(differ, sure_cells(stored))


def test_of_a_mask_only_its_cells_are_answered_and_must_be_there(stored, wanted):
    asked = np.zeros((6, 3), bool)
    asked[:4, 1] = asked[2, 2] = True
    with pytest.raises(StoreError):
        stored.read(wanted, asked)
    plans = stored.plan(wanted, 4, asked)
    n_unsure = int((~sure_cells(stored) & asked).sum())
    assert {name: plan.n_wanted for name, plan in plans.items()} == {"small": 5, "llm": n_unsure}
    stored.run(wanted, plans, "j")
    found = stored.read(wanted, asked)
    assert np.isfinite(found.margin).tolist() == np.isfinite(found.mass).tolist() == asked.tolist()
    live = stored.answerer.answer(TEXTS, QUESTIONS)
    np.testing.assert_allclose(found.margin[asked], live.margin[asked], atol=1e-4)
    with pytest.raises(StoreError, match="13 cells are not in"):
        stored.read(wanted)


def test_a_cell_that_the_teacher_lost_is_missed(stored, wanted):
    stored.run(wanted, stored.plan(wanted, 4), "j")
    next((stored.root / stored.answerer.teacher.key).glob("*.parquet")).unlink()
    with pytest.raises(StoreError, match="cells are not in"):
        stored.read(wanted)


@given(
    missing=st.tuples(st.integers(1, 12), st.integers(1, 5)).flatmap(lambda shape: arrays(bool, shape)),
    block_texts=st.integers(1, 6),
)
def test_blocks_by_question_cover_the_missing_cells_once_and_no_others(missing, block_texts):
    count = np.zeros(missing.shape, int)
    for block in _question_blocks(missing, block_texts):
        assert 1 <= len(block.rows) <= block_texts
        assert block.n_cells > 0
        assert list(block.rows) == sorted(block.rows)
        count[np.ix_(block.rows, block.columns)] += 1
    np.testing.assert_array_equal(count, missing.astype(int))


def sparse(n_texts: int) -> np.ndarray:
    return np.random.default_rng(0).random((n_texts, 3)) < 0.5


def test_sparse_cells_of_many_texts_are_asked_in_few_blocks(tiny_llm):
    answerer = build_answerer("x", spec_for("shared"), tiny_llm)
    texts = [f"dog number {number}" for number in range(60)]
    wanted = Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in QUESTIONS], QUESTIONS)
    blocks = cover(answerer, texts, QUESTIONS, sparse(60), 256)
    assert len(blocks) == len(list(_question_blocks(sparse(60), 256))) == 3
    assert len(list(_make_blocks(sparse(60), 256))) == 7
    assert make_plan(answerer, wanted, sparse(60), 256).blocks == blocks


def test_long_texts_are_not_read_again_for_every_question(tiny_llm):
    answerer = build_answerer("x", spec_for("shared"), tiny_llm)  # text_first: the text is computed once for a block
    questions = [f"Is it {number}?" for number in range(12)]
    long = [f"{number} " + "far away the dog ate an apple in the kitchen " * 8 for number in range(30)]
    mask = np.random.default_rng(0).random((30, 12)) < 0.7
    by_text, by_question = (tuple(make(mask, 256)) for make in (_make_blocks, _question_blocks))
    assert (len(by_text), len(by_question)) == (30, 12)
    assert cover(answerer, long, questions, mask, 256) == by_text
    assert cover(answerer, [text[:12] for text in long], questions, mask, 256) == by_question
    question_first = build_answerer("x", spec_for("shared", prompt="question_first"), tiny_llm)
    assert cover(question_first, long, questions, mask, 256) == by_question


def test_a_grid_without_holes_is_covered_as_ever(tiny_llm):
    answerer = build_answerer("x", spec_for("shared"), tiny_llm)
    whole = np.ones((6, 3), bool)
    assert cover(answerer, TEXTS, QUESTIONS, whole, 4) == tuple(_make_blocks(whole, 4))
    assert cover(answerer, TEXTS, QUESTIONS, ~whole, 4) == ()
