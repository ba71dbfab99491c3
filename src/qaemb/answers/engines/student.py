"""Engine `student`: a sentence encoder answers, with a trained student on it or, if the settings name none, zero-shot.

A trained student takes one pass of its encoder per text, whatever the number of questions. A text whose segment stands
in double square brackets is read as before, segment, after; any other is read as it is, if the student learnt to. Where
the student may not be trusted it abstains: its margin is there, and its mass is 0.

Zero-shot, the margin is the similarity of text and question in the encoder's space:

    margin = scale * (cos(text, question) - mean over r of cos(text, r)),    r: a fixed list of reference questions

Some texts are near to every question (they are long, or read like a question); taking away their mean similarity to
questions removes that. The mean is over a fixed list in the package, so that a cell does not depend on what else is
asked. Zero-shot, it always answers: the mass is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost, check_finite, engine_version
from qaemb.answers.students import Reader, Student, find_student, read_student
from qaemb.answers.students.reading import is_marked, pieces, reference_questions, reference_vector, text_vectors
from qaemb.errors import BadInput, BadParameter
from qaemb.models.adapter import Adapter
from qaemb.models.encoder import Encoder
from qaemb.models.inputs import Progress, check_inputs
from qaemb.settings import StudentAnswererSettings

Vectors = NDArray[np.float32]


class _EncoderAnswerer(Answerer):
    """An answerer that reads texts with a sentence encoder, once each, whatever the number of questions."""

    def __init__(self, settings: StudentAnswererSettings, folder: Path, adapter: Adapter | None = None) -> None:
        self.settings, self.engine_name = settings, settings.engine
        self.encoder = Encoder(folder, settings.threads, adapter)
        self._read: dict[str, Vectors] = {}  # vectors of the questions that were read so far

    @cached_property
    def reference(self) -> Vectors:
        """The mean vector (d,) of the reference questions."""
        return reference_vector(self.encoder)

    def unread(self, questions: Sequence[str]) -> list[str]:
        """Return the questions that were not read yet, each once."""
        return [question for question in dict.fromkeys(questions) if question not in self._read]

    def question_vectors(self, questions: Sequence[str]) -> Vectors:
        """Return the vectors (questions, d) of questions, reading those that are new."""
        new = self.unread(questions)
        if new:
            self._read.update(zip(new, self.encoder.embed(new), strict=True))
        return np.stack([self._read[question] for question in questions])

    def question_tokens(self, questions: Sequence[str]) -> int:
        """Return the tokens that reading the new ones of some questions takes."""
        new = self.unread(questions)
        return sum(self.encoder.lengths(new)[0]) if new else 0


class _ZeroShotAnswerer(_EncoderAnswerer):
    """Answers by similarity."""

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Model digest, scale, reference questions, version."""
        return {
            "family": "zero_shot",
            "model_digest": self.encoder.info.digest,
            "scale": self.settings.scale,
            "reference_questions": reference_questions(),
            "dtype": self.settings.dtype,
            "engine_version": engine_version(),
        }

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of all texts and of the questions not yet seen, and how many texts are cut."""
        check_inputs(texts, questions)
        lengths, n_cut = self.encoder.lengths([_without_marks(text) for text in texts])
        return Cost(sum(lengths) + self.question_tokens(questions), n_cut)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin of every text and question, and mass 1."""
        check_inputs(texts, questions)
        probes = self.question_vectors(questions) - self.reference  # cos(t, q) - mean cos(t, r) = t . (q - mean r)
        vectors = self.encoder.embed([_without_marks(text) for text in texts])
        margin = np.float32(self.settings.scale) * (vectors @ probes.T)
        if progress:
            progress(margin.size)
        return check_finite(Answers(margin.astype(np.float32), np.ones_like(margin, dtype=np.float32)))


def _without_marks(text: str) -> str:
    """Return a text whose segment is marked in its context as one text; similarity knows no context."""
    return pieces(text, context=False)[0] or text


def student_answerer(settings: StudentAnswererSettings, folder: Path) -> Answerer:
    """Return the trained student that the settings name, or the zero-shot one, on the encoder in `folder`."""
    if settings.prompt is not None:
        raise BadParameter("engine `student` takes no `prompt`; remove it")
    if settings.dtype != "float32":
        raise BadParameter("engine `student` computes in float32; remove `dtype`")
    if settings.student is None:
        return _ZeroShotAnswerer(settings, folder)
    return StudentAnswerer(settings, folder)


class StudentAnswerer(_EncoderAnswerer):
    """Answers as a student on disk was trained to."""

    def __init__(self, settings: StudentAnswererSettings, folder: Path) -> None:
        self.student: Student = read_student(find_student(str(settings.student)))
        super().__init__(settings, folder, self.student.adapter)
        if self.encoder.info.digest != self.student.encoder["digest"]:
            raise BadInput(
                f"student `{self.student.name}` stands on {self.student.encoder['name']} with digest "
                f"{self.student.encoder['digest'][:12]}, but model `{self.encoder.name}` has "
                f"{self.encoder.info.digest[:12]}; name the model that it was trained on"
            )

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The student's and its encoder's digest, whether it abstains, and the version of this code."""
        return {
            "family": "student",
            "student_digest": self.student.digest,
            "model_digest": self.encoder.info.digest,
            "abstain": self.settings.abstain,
            "reference_questions": reference_questions(),
            "dtype": self.settings.dtype,
            "engine_version": engine_version(),
        }

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of all parts of all texts and of the questions to be read, and how many parts are cut."""
        check_inputs(texts, questions)
        self._check_questions(questions)
        read = (pieces(text, self._with_context(text)) for text in texts)
        lengths, n_cut = self.encoder.lengths([piece for row in read for piece in row if piece] or ["-"])
        untaught = [question for question in questions if question not in self._places]
        return Cost(sum(lengths) + self.question_tokens(untaught), n_cut)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin of every text and question; mass 1, or 0 where the student abstains.

        BadInput names a question that the student does not know and can't score.
        """
        check_inputs(texts, questions)
        self._check_questions(questions)
        context = np.array([self._with_context(text) for text in texts])
        margin = np.empty((len(texts), len(questions)), np.float32)
        for reader in self.student.readers:
            rows = np.flatnonzero(context == reader.context)
            if len(rows):
                part = [texts[row] for row in rows]
                vectors = text_vectors(part, reader.context, self.encoder.embed, self.encoder.width)
                margin[rows] = self._margins(reader, vectors, questions)
        if progress:
            progress(margin.size)
        mass = np.broadcast_to(self._trusted(questions).astype(np.float32), margin.shape).copy()
        return check_finite(Answers(margin, mass))

    def _with_context(self, text: str) -> bool:
        """Return whether a text is read as before, segment, after.

        So is a marked one where the student can, and any text by a student that reads context alone: a text without
        marks is then a segment with no words around it.
        """
        marked = is_marked(text)
        return marked if self.student.reader(marked) else not marked

    def _margins(self, reader: Reader, vectors: Vectors, questions: Sequence[str]) -> Vectors:
        """Return margins (texts, questions): heads for taught questions, the conditioned score for the others."""
        out = np.empty((len(vectors), len(questions)), np.float32)
        columns = [column for column, question in enumerate(questions) if question in self._places]
        others = [column for column in range(len(questions)) if column not in set(columns)]
        if columns:
            assert reader.heads is not None
            out[:, columns] = reader.heads.margins(vectors, [self._places[questions[column]] for column in columns])
        if others:
            assert reader.conditioned is not None
            probes = self.question_vectors([questions[column] for column in others])
            out[:, others] = reader.conditioned.margins(vectors, probes, self.reference)
        return out

    def _trusted(self, questions: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each question whether the student answers it; always, where it is told not to abstain."""
        if not self.settings.abstain:
            return np.ones(len(questions), bool)
        return np.array([self._trusts(question) for question in questions])

    def _trusts(self, question: str) -> bool:
        if question in self._places:
            return self.student.questions[self._places[question]].trusted
        least = self.student.trust.least_similarity
        anchors = [reader.conditioned.anchors for reader in self.student.readers if reader.conditioned]
        if least is None or not anchors:
            return False
        return bool((anchors[0] @ self.question_vectors([question])[0]).max() >= least)

    def _check_questions(self, questions: Sequence[str]) -> None:
        untaught = [question for question in questions if question not in self._places]
        if untaught and any(reader.conditioned is None for reader in self.student.readers):
            raise BadInput(
                f"student `{self.student.name}` was taught {len(self.student.questions)} questions and can't answer "
                f"others, such as `{untaught[0]}`; take them out of the set, or a student of kind `conditioned`"
            )

    @cached_property
    def _places(self) -> dict[str, int]:
        """Column of each taught question."""
        return {question.text: column for column, question in enumerate(self.student.questions)}
