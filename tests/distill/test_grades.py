"""Grades of a student against scikit-learn, and trust by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, cohen_kappa_score, roc_auc_score

from qaemb.answers.students import find_student, read_student
from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import card, grade_student, least_similarity, trusted


@pytest.fixture
def graded():
    rng = np.random.default_rng(0)
    margin = rng.standard_normal((300, 3)).astype(np.float32)
    labels = (rng.random((300, 3)) < 1 / (1 + np.exp(-2 * margin))).astype(np.float32)
    labels[:, 2] = 0.0
    known = rng.random((300, 3)) < 0.8
    groups = [f"s{row // 30}" for row in range(300)]
    cells = TeacherCells(["x"] * 300, ["Is a?", "Is b?", "Is c?"], labels, known, groups)
    return margin, cells, grade_student(margin, cells)


def test_figures_are_those_of_scikit_learn_over_the_known_cells(graded):
    margin, cells, table = graded
    for column in range(2):
        own = cells.known[:, column]
        m, y = margin[own, column], cells.labels[own, column]
        row = table.iloc[column]
        assert row["n"] == own.sum()
        assert row["auc"] == pytest.approx(roc_auc_score(y, m))
        assert row["kappa"] == pytest.approx(cohen_kappa_score(y, m > 0))
        assert row["brier"] == pytest.approx(brier_score_loss(y, 1 / (1 + np.exp(-m.astype(float)))))
        assert row["agreement"] == pytest.approx(((m > 0) == (y == 1)).mean())
        assert row["auc_low"] < row["auc"] < row["auc_high"]


def test_a_question_that_is_always_no_has_no_auc_but_an_agreement(graded):
    _, _, table = graded
    assert np.isnan(table.iloc[2][["auc", "auc_low", "auc_high"]].astype(float)).all()
    assert 0 < table.iloc[2]["agreement"] < 1


def test_the_interval_is_that_of_resampled_stories():
    """All of a question's signal is in one story of ten: a resample without it has chance, so the interval is wide."""
    rng = np.random.default_rng(1)
    margin = rng.standard_normal((500, 1)).astype(np.float32)
    labels = (rng.random((500, 1)) < 0.5).astype(np.float32)
    one = [f"s{row // 50}" for row in range(500)]
    margin[:50, 0] = 3 * (2 * labels[:50, 0] - 1)
    shuffled = [f"t{row}" for row in range(500)]
    known = np.ones((500, 1), bool)
    by_story = grade_student(margin, TeacherCells(["x"] * 500, ["Is it?"], labels, known, one)).iloc[0]
    by_cell = grade_student(margin, TeacherCells(["x"] * 500, ["Is it?"], labels, known, shuffled)).iloc[0]
    assert by_story["auc_high"] - by_story["auc_low"] > 1.2 * (by_cell["auc_high"] - by_cell["auc_low"])


def test_trust_needs_the_lower_end():
    table = pd.DataFrame({"auc": [0.9, 0.9, np.nan], "auc_low": [0.7, 0.59, np.nan]})
    assert trusted(table, 0.6).tolist() == [True, False, False]


def test_least_similarity_by_hand():
    near = np.linspace(0.9, 0.1, 30)
    values = np.where(near > 0.5, 0.75, 0.45) + 0.01 * (-1.0) ** np.arange(30)
    found = least_similarity(values, near, 0.6)
    expected = None
    for n in range(10, 31):
        part = values[:n]
        if part.mean() - 1.645 * part.std(ddof=1) / np.sqrt(n) >= 0.6:
            expected = near[n - 1]
    assert found == pytest.approx(expected)
    assert 0.1 < found < 0.5
    assert least_similarity(values, near, 0.85) is None
    assert least_similarity(values[:5], near[:5], 0.6) is None


def test_the_shipped_card_says_what_its_teachers_licence_leaves_open_and_a_clear_licence_needs_no_word():
    folder = find_student("stories_minilm")
    student, text = read_student(folder), (folder / "CARD.md").read_text()
    section = text[text.index("## What the teacher's licence leaves open") :]
    assert "github.com/csinva/fmri" in section
    assert "OpenAI's terms" in section
    assert "without the key `student`" in section
    assert card(student, {}).endswith("\n\n" + section)  # what `make student` writes
    for about in ({"teacher": "llm_tr", "licence": "Apache-2.0"}, {"teacher": "llm_tr", "licence": "not stated"}):
        is_open = "leaves open" in card(replace(student, about=about), {})
        assert is_open == (about["licence"] == "not stated")
