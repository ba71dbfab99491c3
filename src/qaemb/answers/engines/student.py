"""Engine `student`: a trained student, or where the settings name none, zero-shot similarity (zero_shot.py).

A trained student takes one pass of its encoder per text, whatever the number of questions. A text whose segment stands
in double square brackets is read as before, segment, after; any other as it is, if the student learnt to. Where the
student may not be trusted it abstains: its margin is there, and its mass is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost, Progress, check_finite, check_inputs, engine_version
from qaemb.answers.engines.encoder_based import EncoderAnswerer, Vectors
from qaemb.answers.engines.zero_shot import ZeroShotAnswerer
from qaemb.answers.reference import reference_questions
from qaemb.answers.students import Reader, Student, find_student, read_student
from qaemb.answers.students.reading import is_marked, pieces, text_vectors
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import AnswererSettings


def student_answerer(settings: AnswererSettings, folder: Path) -> Answerer:
    """Return the trained student that the settings name, or the zero-shot one, on the encoder in `folder`."""
    if settings.prompt is not None:
        raise BadParameter("engine `student` takes no `prompt`; remove it")
    if settings.dtype != "float32":
        raise BadParameter("engine `student` computes in float32; remove `dtype`")
    if settings.student is None:
        return ZeroShotAnswerer(settings, folder)
    return StudentAnswerer(settings, folder)


class StudentAnswerer(EncoderAnswerer):
    """Answers as a student on disk was trained to."""

    def __init__(self, settings: AnswererSettings, folder: Path) -> None:
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
        lengths, n_cut = self.encoder.lengths([piece for own in read for piece in own if piece] or ["-"])
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
                own = [texts[row] for row in rows]
                vectors = text_vectors(own, reader.context, self.encoder.embed, self.encoder.width)
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
            asked = self.question_vectors([questions[column] for column in others])
            out[:, others] = reader.conditioned.margins(vectors, asked, self.reference)
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
        lacking = [question for question in questions if question not in self._places]
        if lacking and any(reader.conditioned is None for reader in self.student.readers):
            raise BadInput(
                f"student `{self.student.name}` was taught {len(self.student.questions)} questions and can't answer "
                f"others, such as `{lacking[0]}`; take them out of the set, or a student of kind `conditioned`"
            )

    @cached_property
    def _places(self) -> dict[str, int]:
        """Column of each taught question."""
        return {question.text: column for column, question in enumerate(self.student.questions)}
