"""Cascades: whose a cell is, what the teacher is asked, and the contract of every answerer on tiny models."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers import Answers, CascadeAnswerer, build_answerer
from qaemb.answers.cascade import ALWAYS_ASK, Evidence, Thresholds, read_thresholds
from qaemb.answers.plan import block_inputs, cover
from qaemb.errors import BadInput, BadParameter
from qaemb.identity import text_id

from .conftest import QUESTIONS, TEXTS, spec_for

EVIDENCE = Evidence(0.95, 0.9, 0.952, 0.97, 0.96, 0.8, 0.9, 0.98, 0.6, 1800, 60)
IDS = [text_id(question) for question in QUESTIONS]


class Watched:
    """An answerer that is asked in place of another, and remembers the cells; where told, it abstains."""

    def __init__(self, inner, abstains: str | None = None) -> None:
        self.inner, self.abstains = inner, abstains
        self.cells: list[tuple[str, str]] = []
        self.key, self.spec, self.figures = inner.key, inner.spec, {"hit_rate": 0.5}

    def cost(self, texts, questions):
        return self.inner.cost(texts, questions)

    def answer(self, texts, questions, progress=None) -> Answers:
        self.cells += [(text, question) for text in texts for question in questions]
        found = self.inner.answer(texts, questions, progress)
        silent = np.array([text == self.abstains for text in texts])[:, None]
        return Answers(found.margin, np.where(silent, np.float32(0), found.mass))


@pytest.fixture(scope="session")
def student(tiny_encoder):
    return build_answerer("student", spec_for("student"), tiny_encoder)


@pytest.fixture(scope="session")
def teacher(tiny_llm):
    return build_answerer("llm", spec_for("shared"), tiny_llm)


@pytest.fixture(scope="session")
def thresholds(student, teacher) -> Thresholds:
    """Bands half-way between two margins of the student: the first question's takes in half of the texts, the second's
    those with a margin below 0; the third has none."""
    margin = student.answer(TEXTS, QUESTIONS).margin.astype(np.float64)
    ranked = np.sort(np.abs(margin[:, 0]))
    half = float(ranked[2:4].mean())
    return Thresholds({IDS[0]: (-half, half), IDS[1]: (-np.inf, 0.0)}, EVIDENCE, student.key, teacher.key)


@pytest.fixture(scope="session")
def cascade(student, teacher, thresholds) -> CascadeAnswerer:
    return CascadeAnswerer(student, teacher, thresholds, ("small", "llm"))


def expected_sure(student) -> np.ndarray:
    margin = student.answer(TEXTS, QUESTIONS).margin
    sure = np.zeros(margin.shape, bool)
    sure[np.argsort(np.abs(margin[:, 0]))[3:], 0] = True
    sure[:, 1] = margin[:, 1] >= 0
    return sure


def test_a_cell_is_the_students_where_it_is_sure_and_else_the_teachers(cascade, student, teacher, texts, questions):
    got, sure = cascade.answer(texts, questions), expected_sure(student)
    assert 3 < sure.sum() < 12
    parts = student.answer(texts, questions), teacher.answer(texts, questions)
    for kind in ("margin", "mass"):
        own, asked = (getattr(part, kind) for part in parts)
        np.testing.assert_allclose(getattr(got, kind), np.where(sure, own, asked), atol=1e-4)
        assert getattr(got, kind).dtype == np.float32
    assert np.abs(parts[0].margin - parts[1].margin).min() > 1e-3  # so that the two can be told apart


def test_the_teacher_is_asked_the_other_cells_once_and_no_more(student, teacher, thresholds, texts, questions):
    watched = Watched(teacher)
    CascadeAnswerer(student, watched, thresholds, ("small", "llm")).answer(texts, questions)
    asked = [(texts[row], questions[column]) for row, column in np.argwhere(~expected_sure(student))]
    assert sorted(watched.cells) == sorted(asked)


def test_where_the_student_abstains_the_teacher_is_asked(student, teacher, thresholds, texts, questions):
    watched = Watched(teacher)
    row = int(np.flatnonzero(expected_sure(student)[:, 0])[0])
    silent = CascadeAnswerer(Watched(student, texts[row]), watched, thresholds, ("small", "llm"))
    silent.answer(texts, questions)
    assert [(text, question) in watched.cells for text in texts[row : row + 1] for question in questions] == [True] * 3


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=8),
    columns=st.lists(st.sampled_from(range(len(QUESTIONS))), min_size=1, max_size=5),
)
def test_adding_removing_and_reordering_moves_no_other_cell(cascade, rows, columns):
    whole = cascade.answer(TEXTS, QUESTIONS)
    part = cascade.answer([TEXTS[row] for row in rows], [QUESTIONS[column] for column in columns])
    np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
    np.testing.assert_allclose(part.mass, whole.mass[np.ix_(rows, columns)], atol=1e-4)


def test_progress_counts_every_cell_once(cascade, texts, questions):
    steps: list[int] = []
    cascade.answer(texts, questions, progress=steps.append)
    assert sum(steps) == len(texts) * len(questions)
    assert min(steps) > 0


@pytest.mark.parametrize(
    ("texts", "questions", "message"),
    [
        (["good", "  \n"], QUESTIONS, "text number 1 is empty"),
        (["good", float("nan")], QUESTIONS, "text number 1 is not a string"),
        (["good"], [""], "question number 0 is empty"),
        ([], QUESTIONS, "no text"),
        (["good"], [], "no question"),
    ],
)
def test_bad_inputs_are_named(cascade, texts, questions, message):
    with pytest.raises(BadInput, match=message):
        cascade.answer(texts, questions)
    with pytest.raises(BadInput, match=message):
        cascade.cost(texts, questions)


def test_the_cost_is_the_students_and_that_of_the_cells_that_the_teacher_is_asked(student, teacher, thresholds):
    watched, small = Watched(teacher), Watched(student)
    cascade = CascadeAnswerer(small, watched, thresholds, ("small", "llm"))
    cost = cascade.cost(TEXTS, QUESTIONS)
    assert watched.cells == []
    unsure = ~expected_sure(student)
    own = student.cost(TEXTS, QUESTIONS).tokens
    alone = sum(teacher.cost([TEXTS[row]], [QUESTIONS[column]]).tokens for row, column in np.argwhere(unsure))
    assert own < cost.tokens <= own + alone
    blocks = cover(teacher, TEXTS, QUESTIONS, unsure, 256)
    together = [teacher.cost(*block_inputs(TEXTS, QUESTIONS, block)).tokens for block in blocks]
    assert cost.tokens == own + sum(together)
    n_asked = len(small.cells)
    cascade.answer(TEXTS, QUESTIONS)
    assert len(small.cells) == n_asked  # what it said for the cost is taken
    long = ["far " * 2000, "short"]
    assert cascade.cost(long, QUESTIONS[2:]).n_cut == 1


def test_figures_say_what_is_approximated_and_what_was_saved(student, teacher, thresholds, texts, questions):
    cascade = CascadeAnswerer(student, Watched(teacher), thresholds, ("small", "llm"))
    assert cascade.figures == {"llm.hit_rate": 0.5}
    for _ in range(2):
        cascade.answer(texts, questions)
    n_saved = int(expected_sure(student).sum())
    assert cascade.figures == {
        "llm.hit_rate": 0.5,
        "approximates.llm.agreement": 0.95,
        "approximates.llm.confidence": 0.9,
        "cells": 36,
        "calls_saved": 2 * n_saved,
        "share_saved": pytest.approx(n_saved / 18, abs=1e-6),
    }
    assert cascade.claim.startswith("approximates `llm`: at least 0.95 of the cells")
    assert cascade.claim.endswith("with confidence 0.9")


def test_the_spec_names_the_teacher_the_promise_and_both_members(cascade, student, teacher):
    spec = json.loads(json.dumps(cascade.spec, allow_nan=False))
    assert spec["family"] == "cascade"
    assert spec["approximates"] == teacher.key
    assert (spec["target"], spec["confidence"]) == (0.95, 0.9)
    assert spec["student"] == {"key": student.key, "spec": student.spec}
    assert spec["teacher"] == {"key": teacher.key, "spec": teacher.spec}
    assert spec["thresholds"]["bands"][IDS[1]] == [None, 0.0]


def test_what_changes_an_answer_or_the_promise_changes_the_key(student, teacher, thresholds, cascade):
    wider = {**thresholds.bands, IDS[0]: (-9.0, 9.0)}
    others = [
        dataclasses.replace(thresholds, bands=wider),
        dataclasses.replace(thresholds, default=(-1.0, 1.0)),
        dataclasses.replace(thresholds, evidence=dataclasses.replace(EVIDENCE, target=0.9)),
    ]
    keys = {CascadeAnswerer(student, teacher, own, ("small", "llm")).key for own in [thresholds, *others]}
    assert cascade.key in keys
    assert len(keys) == 4
    assert CascadeAnswerer(student, teacher, thresholds, ("other", "names")).key == cascade.key


def test_thresholds_that_were_made_for_others_are_refused(student, teacher, thresholds, tiny_encoder):
    changed = build_answerer("student", spec_for("student", scale=3.0), tiny_encoder)
    with pytest.raises(BadParameter, match=r"made for a student with key .*, but `small` has .*run `qaemb cascade`"):
        CascadeAnswerer(changed, teacher, thresholds, ("small", "llm")).answer(TEXTS, QUESTIONS)
    with pytest.raises(BadParameter, match=r"made for a teacher with key unknown, but `llm`"):
        made = dataclasses.replace(thresholds, teacher="")
        CascadeAnswerer(student, teacher, made, ("small", "llm")).key  # noqa: B018
    with pytest.raises(BadParameter, match="have one key"):
        CascadeAnswerer(student, student, thresholds, ("small", "llm")).key  # noqa: B018


def test_thresholds_read_back_as_they_were_written(thresholds, tmp_path):
    path = tmp_path / "t.json"
    unknown = dataclasses.replace(EVIDENCE, own_agreement=float("nan"))
    written = dataclasses.replace(thresholds, evidence=unknown).to_dict() | {"sample": {"seed": 0}}
    path.write_text(json.dumps(written, allow_nan=False))
    found = read_thresholds(path, "c")
    assert dataclasses.replace(found, evidence=EVIDENCE) == thresholds
    assert np.isnan(found.evidence.own_agreement)
    assert found.default == ALWAYS_ASK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": None}, "does not hold thresholds"),
        ({"bands": {"q": [1.0, 2.0]}}, r"a band must be low <= 0 <= high, not \[1\.0, 2\.0\]"),
        ({"bands": {"q": [None]}}, "does not hold thresholds"),
        ({"evidence": {}}, "does not hold thresholds"),
        ({"default": [float("nan"), 0.0]}, "a band must be"),
    ],
)
def test_a_file_that_holds_no_thresholds_is_named_with_the_way_out(thresholds, tmp_path, change, message):
    path = tmp_path / "t.json"
    with pytest.raises(
        BadInput, match=r"t\.json, the thresholds of cascade `c`, does not exist; make it with `qaemb ca"
    ):
        read_thresholds(path, "c")
    path.write_text(json.dumps(thresholds.to_dict() | change))
    with pytest.raises(BadInput, match=rf"t\.json.* can't be used: .*{message}.*`qaemb cascade c "):
        read_thresholds(path, "c")
    values = thresholds.to_dict()
    del values["student"]
    path.write_text(json.dumps(values))
    with pytest.raises(BadInput, match="it has no 'student'"):
        read_thresholds(path, "c")
