"""A teacher's answers become cells: from a job's matrix, from published answers, and in the student's own words."""

import numpy as np
import pandas as pd
import pytest

from qaemb.distill.cells import TeacherCells, in_student_words, job_cells, published_cells
from qaemb.errors import BadInput

SEGMENTS = pd.DataFrame({"segment_id": ["a", "b", "c"], "text": ["one", "two", "three"]})


def test_a_jobs_cells_are_probabilities_by_segment_and_story():
    occurrences = pd.DataFrame(
        {"story": ["s", "s", "s", "t"], "index": [0, 1, 2, 0], "segment_id": ["b", "a", "b", "b"]}
    )
    margin = pd.DataFrame({"segment_id": ["a", "b", "c"], "food": [0.0, np.log(3.0), -1.0]})
    mass = pd.DataFrame({"segment_id": ["a", "b", "c"], "food": [0.9, 0.5, 0.5]})
    cells = job_cells(margin, mass, ["Is it food?"], SEGMENTS, occurrences)
    assert cells.texts == ["two", "one", "two"]  # told twice in one story, it counts once there
    assert cells.groups == ["s", "s", "t"]
    np.testing.assert_allclose(cells.labels[:, 0], [0.75, 0.5, 0.75])
    assert cells.known.all()


def test_a_cell_that_the_teacher_abstained_from_is_not_known():
    occurrences = pd.DataFrame({"story": ["s", "s"], "index": [0, 1], "segment_id": ["a", "b"]})
    margin = pd.DataFrame({"segment_id": ["a", "b"], "food": [1.0, 2.0]})
    mass = pd.DataFrame({"segment_id": ["a", "b"], "food": [0.0, 1.0]})
    cells = job_cells(margin, mass, ["Is it food?"], SEGMENTS, occurrences)
    assert cells.known[:, 0].tolist() == [False, True]


def test_a_segment_that_the_matrix_lacks_is_named():
    occurrences = pd.DataFrame({"story": ["s"], "index": [0], "segment_id": ["c"]})
    margin = pd.DataFrame({"segment_id": ["a"], "food": [1.0]})
    with pytest.raises(BadInput, match="segment c has no row in the teacher's matrix; run the stage `answers` again"):
        job_cells(margin, margin, ["Is it food?"], SEGMENTS, occurrences)


def test_published_answers_are_looked_up_by_row():
    occurrences = pd.DataFrame({"story": ["s", "s", "t"], "index": [2, 0, 1], "segment_id": ["a", "b", "a"]})
    labels = {"s": np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]), "t": np.array([[0.0, 0.0], [1.0, 1.0]])}
    cells = published_cells(["Is it?", "Was it?"], labels, SEGMENTS, occurrences)
    assert cells.texts == ["one", "two", "one"]
    assert cells.groups == ["s", "s", "t"]
    assert cells.labels.tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def test_rows_outside_of_the_published_answers_and_stories_without_any_are_named():
    occurrences = pd.DataFrame({"story": ["s"], "index": [3], "segment_id": ["a"]})
    with pytest.raises(BadInput, match="story s has 2 rows of published answers, but a segment stands in row 3"):
        published_cells(["Is it?"], {"s": np.zeros((2, 1))}, SEGMENTS, occurrences)
    with pytest.raises(BadInput, match="story s has segments but no published answers"):
        published_cells(["Is it?"], {}, SEGMENTS, occurrences)


def cells() -> TeacherCells:
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    known = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1]], bool)
    return TeacherCells(["x", "y", "z"], ["Q1?", "Q2?", "Q3?"], labels, known, ["s", "s", "t"])


def test_a_yes_to_any_of_the_teachers_questions_is_a_yes():
    own = in_student_words(cells(), {"Either?": ["Q1?", "Q2?"], "Third?": ["Q3?"]})
    assert own.questions == ["Either?", "Third?"]
    assert own.labels.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert own.known.tolist() == [[True, True], [True, True], [False, True]]


def test_what_the_teacher_was_not_asked_is_refused():
    with pytest.raises(BadInput, match="`Fourth\\?` is to be learnt from a question that the teacher was not asked"):
        in_student_words(cells(), {"Fourth?": ["Q4?"]})
