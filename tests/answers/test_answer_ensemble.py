"""Ensembles: combinations by hand and against numpy, and the contract of every answerer on tiny models."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers import Answers, EnsembleAnswerer, build_answerer
from qaemb.answers.ensemble import _combined
from qaemb.errors import BadInput, BadParameter

from .conftest import QUESTIONS, TEXTS, spec_for

HOW = ["mean_margin", "mean_probability"]


@pytest.fixture(scope="session")
def members(tiny_llm: Path, tiny_encoder: Path) -> dict:
    """Three answerers of different kinds."""
    return {
        "text": build_answerer("text", spec_for("shared"), tiny_llm),
        "question": build_answerer("question", spec_for("shared", prompt="question_first"), tiny_llm),
        "student": build_answerer("student", spec_for("student"), tiny_encoder),
    }


@pytest.fixture(scope="session", params=HOW)
def ensemble(request, members) -> EnsembleAnswerer:
    return EnsembleAnswerer(members, request.param)


def cells(*margins: float, mass: float = 1.0) -> Answers:
    return Answers(np.array([margins], np.float32), np.full((1, len(margins)), mass, np.float32))


def probability(margin) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(margin, np.float64)))


def test_mean_margin_by_hand():
    got = _combined([cells(1.0, -4.0, mass=0.5), cells(2.0, 1.0, mass=1.0)], "mean_margin")
    np.testing.assert_array_equal(got.margin, np.array([[1.5, -1.5]], np.float32))
    np.testing.assert_array_equal(got.mass, np.array([[0.75, 0.75]], np.float32))
    assert got.margin.dtype == got.mass.dtype == np.float32


def test_mean_probability_by_hand():
    # P(yes) 3/4 and 1/4 average to 1/2; 9/10 and 1/2 to 7/10, whose odds are 7/3; three times 4/5 stay 4/5.
    got = _combined([cells(np.log(3), np.log(9)), cells(-np.log(3), 0.0)], "mean_probability")
    np.testing.assert_allclose(got.margin, [[0.0, np.log(7 / 3)]], atol=1e-6)
    got = _combined([cells(np.log(4))] * 3, "mean_probability")
    np.testing.assert_allclose(got.margin, [[np.log(4)]], rtol=1e-6)


def test_margins_far_out_stay_finite_and_right():
    # In floating point 1 - P(yes) is 0 from a margin of 37 on. P(yes) of 1 and of e^-60 average to 1/2; P(yes) of e^-60
    # and e^-50 to about e^-50 / 2.
    far = [cells(60.0, 60.0, -60.0, -60.0), cells(60.0, -60.0, -60.0, -50.0)]
    got = _combined(far, "mean_probability").margin
    np.testing.assert_allclose(got, [[60.0, 0.0, -60.0, -50 - np.log(2 / (1 + np.exp(-10)))]], atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4), min_size=2, max_size=5))
def test_combinations_agree_with_plain_numpy(margins):
    parts = [cells(*row, mass=0.1 + 0.1 * number) for number, row in enumerate(margins)]
    values = np.array(margins, np.float64)
    for how in HOW:
        got = _combined(parts, how)
        np.testing.assert_allclose(got.mass, np.mean([part.mass for part in parts], axis=0), rtol=1e-6)
        if how == "mean_margin":
            np.testing.assert_allclose(got.margin[0], values.mean(axis=0), rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_allclose(probability(got.margin[0]), probability(values).mean(axis=0), rtol=1e-4)
            assert (got.margin[0] >= values.min(axis=0) - 1e-5).all()
            assert (got.margin[0] <= values.max(axis=0) + 1e-5).all()


def test_a_large_grid_is_combined_whole(monkeypatch):
    rng = np.random.default_rng(0)
    parts = [Answers(*rng.normal(size=(2, 7, 3)).astype(np.float32)) for _ in range(3)]
    whole = [_combined(parts, how) for how in HOW]
    monkeypatch.setattr("qaemb.answers.ensemble._ROWS", 2)
    for how, expected in zip(HOW, whole, strict=True):
        got = _combined(parts, how)
        np.testing.assert_array_equal(got.margin, expected.margin)
        np.testing.assert_array_equal(got.mass, expected.mass)


@pytest.mark.filterwarnings("error")
def test_a_cell_that_a_member_lacks_is_lacking():
    for how in HOW:
        got = _combined([cells(1.0, np.nan), cells(1.0, 1.0)], how)
        assert np.isnan(got.margin).tolist() == [[False, True]]


def test_the_answer_is_the_combination_of_the_members_answers(ensemble, members, texts, questions):
    got = ensemble.answer(texts, questions)
    parts = [member.answer(texts, questions) for member in members.values()]
    margins = np.array([part.margin for part in parts], np.float64)
    if ensemble.rule == "mean_margin":
        expected = margins.mean(axis=0)
    else:
        p = probability(margins).mean(axis=0)
        expected = np.log(p / (1 - p))
    np.testing.assert_allclose(got.margin, expected, atol=1e-4)
    np.testing.assert_allclose(got.mass, np.mean([part.mass for part in parts], axis=0), atol=1e-5)
    assert margins.std(axis=0).min() > 1e-3  # the members do differ


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=8),
    columns=st.lists(st.sampled_from(range(len(QUESTIONS))), min_size=1, max_size=5),
)
def test_adding_removing_and_reordering_moves_no_other_cell(ensemble, rows, columns):
    whole = ensemble.answer(TEXTS, QUESTIONS)
    part = ensemble.answer([TEXTS[row] for row in rows], [QUESTIONS[column] for column in columns])
    np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
    np.testing.assert_allclose(part.mass, whole.mass[np.ix_(rows, columns)], atol=1e-4)


def test_progress_counts_every_cell_once(ensemble, texts, questions):
    steps: list[int] = []
    ensemble.answer(texts, questions, progress=steps.append)
    assert sum(steps) == len(texts) * len(questions)
    assert min(steps) > 0
    assert len(steps) > 2  # while members answer, not at the end only


def test_bad_inputs_are_named(ensemble):
    with pytest.raises(BadInput, match="text number 1 is empty"):
        ensemble.answer(["good", " "], QUESTIONS)


def test_cost_adds_up_and_the_most_cuts_count(ensemble, members, questions):
    asked = (["short", "far " * 2000, "food " * 40], questions)  # the last is cut by the encoder only
    costs = [member.cost(*asked) for member in members.values()]
    assert ensemble.cost(*asked).tokens == sum(cost.tokens for cost in costs)
    assert len({cost.n_cut for cost in costs}) > 1
    assert ensemble.cost(*asked).n_cut == max(cost.n_cut for cost in costs)


def test_the_spec_names_members_and_combination_in_an_order_of_its_own(members, texts, questions):
    names = list(members)
    turned = {name: members[name] for name in (names[2], names[0], names[1])}
    first, second = EnsembleAnswerer(members, "mean_margin"), EnsembleAnswerer(turned, "mean_margin")
    assert first.key == second.key
    assert first.spec == second.spec
    np.testing.assert_array_equal(first.answer(texts, questions).margin, second.answer(texts, questions).margin)
    assert first.spec["family"] == "ensemble"
    assert first.spec["combine"] == "mean_margin"
    assert {member["key"] for member in first.spec["members"]} == {member.key for member in members.values()}
    assert all(own.spec in [member["spec"] for member in first.spec["members"]] for own in members.values())


def test_what_changes_an_answer_changes_the_key(members):
    two = {name: members[name] for name in ("text", "student")}
    ensembles = [EnsembleAnswerer(own, how) for own in (members, two) for how in HOW]
    assert len({own.key for own in (*ensembles, *members.values())}) == len(ensembles) + len(members)


def test_figures_carry_the_members_name(members):
    class Measuring:
        key, figures = "0", {"hit_rate": 0.75, "requests": 3.0}

    ensemble = EnsembleAnswerer({"fast": Measuring(), **members}, "mean_margin")
    assert ensemble.figures == {"fast.hit_rate": 0.75, "fast.requests": 3.0}
    assert EnsembleAnswerer(members, "mean_margin").figures == {}


def test_one_answerer_under_two_names_would_count_twice(tiny_llm, members):
    twin = build_answerer("twin", spec_for("reference"), tiny_llm)
    with pytest.raises(BadParameter, match=r"members `\w+` and `\w+` of an ensemble have one key"):
        EnsembleAnswerer({"text": members["text"], "twin": twin}, "mean_margin").key  # noqa: B018
    with pytest.raises(BadParameter, match="two or more members"):
        EnsembleAnswerer({"text": members["text"]}, "mean_margin")
