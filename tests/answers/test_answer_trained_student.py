"""Trained students: their margins against the formulas in plain loops, abstention, keys, and what they refuse."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.students.reading import reference_questions
from qaemb.errors import BadInput, BadParameter
from qaemb.models.encoder import Encoder

from .conftest import spec_for
from .students import TAUGHT, random_student, saved

UNTAUGHT = "Does the text describe a person or thing moving from one place to another?"
MARKED = "we walked [[home in the rain]] and slept"


@pytest.fixture
def student_of(tiny_encoder, tmp_path):
    def build(number: int = 0, abstain: bool = True, **settings):
        folder = saved(random_student(tiny_encoder, **settings), tmp_path / f"student{number}")
        return build_answerer("s", spec_for("student", student=folder.as_posix(), abstain=abstain), tiny_encoder)

    return build


def plain_vector(encoder: Encoder, pieces: list[str]) -> list[float]:
    values: list[float] = []
    for piece in pieces:
        values += encoder.embed([piece])[0].tolist() if piece else [0.0] * encoder.width
    return values


def plain_head(x: list[float], heads, column: int) -> float:
    if heads.hidden is not None:
        inner = [
            sum(a * b for a, b in zip(x, heads.hidden.weight[:, unit], strict=True)) + heads.hidden.bias[unit]
            for unit in range(len(heads.hidden.bias))
        ]
        x = [z * 0.5 * (1 + math.erf(z / math.sqrt(2))) for z in inner]
    return sum(a * b for a, b in zip(x, heads.weight[:, column], strict=True)) + heads.bias[column]


def plain_conditioned(x: list[float], c, q: np.ndarray, r: np.ndarray) -> float:
    k = [math.exp(-c.width * float(((q - anchor) ** 2).sum())) for anchor in c.anchors]
    weights = [sum(c.map[i, s] * k[s] for s in range(len(k))) for i in range(len(x))]
    learnt = sum((x[i] - c.center[i]) * weights[i] for i in range(len(x)))
    d = len(q)
    similar = sum(c.parts[p] * float(np.dot(x[p * d : (p + 1) * d], q - r)) for p in range(len(c.parts)))
    return c.scale * learnt + similar + c.bias


@pytest.mark.parametrize("units", [None, 5])
@pytest.mark.parametrize(
    ("text", "context", "pieces"),
    [
        (MARKED, True, ["we walked", "home in the rain", "and slept"]),
        ("[[home]] and slept", True, ["", "home", "and slept"]),
        ("home in the rain", False, ["home in the rain"]),
    ],
)
def test_margins_are_those_of_the_formulas(student_of, tiny_encoder, units, text, context, pieces):
    answerer = student_of(units=units)
    reader, encoder = answerer.student.reader(context), Encoder(tiny_encoder)
    x = plain_vector(encoder, pieces)
    q = encoder.embed([UNTAUGHT])[0].astype(float)
    r = encoder.embed(reference_questions()).astype(float).mean(0)
    expected = [plain_head(x, reader.heads, 0), plain_head(x, reader.heads, 1)]
    expected.append(plain_conditioned(x, reader.conditioned, q, r))
    found = answerer.answer([text], [*TAUGHT, UNTAUGHT]).margin[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_adding_removing_and_reordering_moves_no_other_cell(student_of, texts):
    answerer = student_of()
    asked = [*TAUGHT, UNTAUGHT]
    whole = answerer.answer([*texts, MARKED], asked)
    for rows, columns in (([6, 0], [2]), ([3], [1, 0]), ([0, 1, 2, 3, 4, 5, 6][::-1], [0, 2, 1])):
        part = answerer.answer([[*texts, MARKED][row] for row in rows], [asked[column] for column in columns])
        np.testing.assert_allclose(part.margin, whole.margin[np.ix_(rows, columns)], atol=1e-4)
        np.testing.assert_array_equal(part.mass, whole.mass[np.ix_(rows, columns)])


def test_a_student_abstains_by_mass_and_never_by_a_missing_margin(student_of, texts):
    asked = [*TAUGHT, UNTAUGHT]
    shy, bold = student_of(0).answer(texts, asked), student_of(1, abstain=False).answer(texts, asked)
    assert shy.mass.tolist() == [[1.0, 0.0, 0.0]] * len(texts)  # taught and trusted, not trusted, far from all taught
    assert (bold.mass == 1).all()
    np.testing.assert_array_equal(shy.margin, bold.margin)
    assert np.isfinite(shy.margin).all()


def test_a_question_near_to_a_taught_one_is_trusted(student_of, texts):
    near = student_of(trust=replace(random_trust(), least_similarity=-1.0))
    assert near.answer(texts, [UNTAUGHT]).mass.tolist() == [[1.0]] * len(texts)


def random_trust():
    from qaemb.answers.students import Trust

    return Trust(0.6, None)


def test_without_a_reader_for_context_the_marks_are_dropped(student_of):
    answerer = student_of(contexts=(False,))
    np.testing.assert_array_equal(
        answerer.answer([MARKED], list(TAUGHT)).margin,
        answerer.answer(["we walked home in the rain and slept"], list(TAUGHT)).margin,
    )


def test_to_a_reader_of_context_alone_a_plain_text_is_a_segment_with_no_words_around_it(student_of):
    answerer = student_of(contexts=(True,))
    plain, marked = (answerer.answer([text], list(TAUGHT)).margin for text in ("dog", "[[dog]]"))
    np.testing.assert_array_equal(plain, marked)


def test_heads_alone_refuse_a_question_that_they_were_not_taught(student_of, texts):
    with pytest.raises(BadInput, match="was taught 2 questions and can't answer others, such as `Does the text desc"):
        student_of(kinds=("heads",)).answer(texts, [TAUGHT[0], UNTAUGHT])


def test_another_encoder_is_refused(tiny_encoder, tmp_path):
    encoder = {"name": "other", "package": None, "version": None, "digest": "0" * 64}
    folder = saved(random_student(tiny_encoder, encoder=encoder), tmp_path / "student")
    with pytest.raises(BadInput, match=r"stands on other .* name the model that it was trained on"):
        build_answerer("s", spec_for("student", student=folder.as_posix()), tiny_encoder)


def test_unknown_students_are_named_with_what_there_is(tiny_encoder):
    with pytest.raises(BadParameter, match="no student `nobody` comes with qaemb"):
        build_answerer("s", spec_for("student", student="nobody"), tiny_encoder)
    with pytest.raises(BadParameter, match=r"no/where holds no student \(no student.json\)"):
        build_answerer("s", spec_for("student", student="no/where"), tiny_encoder)


def test_what_changes_an_answer_changes_the_key_and_figures_do_not(student_of, tiny_encoder):
    key = student_of(0).key
    assert student_of(1).key == key
    assert student_of(2, abstain=False).key != key
    base = random_student(tiny_encoder)
    reader = base.readers[0]
    moved = replace(reader, heads=replace(reader.heads, bias=reader.heads.bias + np.float32(1e-3)))
    assert student_of(3, readers=(moved, base.readers[1])).key != key
    asked = [replace(question, trusted=True) for question in base.questions]
    assert student_of(4, questions=tuple(asked)).key != key
    figures = [replace(question, auc=0.5) for question in base.questions]
    assert student_of(5, questions=tuple(figures)).key == key


def test_cost_counts_every_distinct_reading_of_a_text(student_of):
    answerer = student_of()
    one, two = answerer.cost(["home in the rain"], list(TAUGHT)), answerer.cost([MARKED], list(TAUGHT))
    assert 0 < one.tokens < two.tokens
    assert answerer.cost(["home in the rain"], [UNTAUGHT]).tokens > one.tokens  # the question is read, too


def test_a_prompt_and_a_dtype_are_refused(tiny_encoder):
    for changes, message in (({"prompt": "text_first"}, "takes no `prompt`"), ({"dtype": "bfloat16"}, "float32")):
        with pytest.raises(BadParameter, match=message):
            build_answerer("s", spec_for("student", student="a/b", **changes), tiny_encoder)


def test_the_folder_comes_back_as_it_was(tiny_encoder, tmp_path):
    from qaemb.answers.students import read_student

    student = random_student(tiny_encoder, units=4)
    again = read_student(saved(student, tmp_path / "s"))
    assert again.digest == student.digest
    assert again.questions == student.questions
    np.testing.assert_array_equal(again.readers[1].heads.hidden.weight, student.readers[1].heads.hidden.weight)
    assert again.readers[0].conditioned.scale == student.readers[0].conditioned.scale


def test_every_flipped_byte_of_the_weights_is_found(tiny_encoder, tmp_path):
    from qaemb.answers.students import read_student

    folder = saved(random_student(tiny_encoder, contexts=(False,)), tmp_path / "s")
    path: Path = folder / "weights.safetensors"
    good = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(good), 40):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(BadInput, match=r"student|train"):
            read_student(folder)
    path.unlink()
    with pytest.raises(BadInput, match="weights.safetensors does not exist"):
        read_student(folder)
