"""The zero-shot student against its formula, and what centring is good for."""

import numpy as np
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.students.reading import reference_questions
from qaemb.models.encoder import Encoder

from .conftest import spec_for


def test_margin_is_the_scaled_similarity_less_the_mean_over_the_reference_questions(tiny_encoder, texts, questions):
    answers = build_answerer("s", spec_for("student", scale=7.0), tiny_encoder).answer(texts, questions)
    encoder = Encoder(tiny_encoder)
    t, q, r = (encoder.embed(values).astype(np.float64) for values in (texts, questions, reference_questions()))
    np.testing.assert_allclose(answers.margin, 7.0 * (t @ q.T - (t @ r.T).mean(1, keepdims=True)), atol=1e-5)
    assert np.all(answers.mass == 1)


def test_reference_questions_are_many_and_distinct():
    questions = reference_questions()
    assert len(set(questions)) == len(questions) == 64
    assert all(question.endswith("?") for question in questions)


def test_the_list_is_part_of_the_key(tiny_encoder, monkeypatch):
    key = build_answerer("s", spec_for("student"), tiny_encoder).key
    monkeypatch.setattr("qaemb.answers.engines.student.reference_questions", lambda: ["Is it?"])
    assert build_answerer("s", spec_for("student"), tiny_encoder).key != key


CASES = [
    ("Does the text mention food?", "We shared warm bread and soup at noon.", "The train left the station late."),
    ("Is an animal mentioned?", "A goat stood between the shelves.", "He counted the coins twice."),
    ("Does the text describe a sound?", "The bell rang and the crowd roared.", "Her coat was dark green."),
    ("Does the text mention a family member?", "My grandmother waited by the gate.", "The bridge is made of steel."),
]


@pytest.mark.parametrize(("question", "yes", "no"), CASES)
def test_minilm_sees_plain_cases(minilm, question, yes, no):
    margin = build_answerer("s", spec_for("student"), minilm).answer([yes, no], [question]).margin[:, 0]
    assert margin[0] > margin[1] + 0.5


def test_marks_around_the_segment_are_not_read(tiny_encoder, questions):
    answerer = build_answerer("s", spec_for("student"), tiny_encoder)
    marked, plain = (
        answerer.answer([text], questions).margin for text in ("I [[ate an apple]] there", "I ate an apple there")
    )
    np.testing.assert_array_equal(marked, plain)
