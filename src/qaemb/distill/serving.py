"""A student as a plain object that answers texts: what MLflow's models and other programs open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.engines.student import StudentAnswerer
from qaemb.settings import AnswererSettings


class OpenedStudent:
    """A student on its encoder."""

    def __init__(self, answerer: StudentAnswerer) -> None:
        self._answerer = answerer

    def predict(self, texts: Sequence[str], questions: Sequence[str] | None) -> tuple[list[str], NDArray[np.float32]]:
        """Return the questions and margins in nats, float32 (texts, questions); None asks all that it was taught."""
        asked = list(questions) if questions else [question.text for question in self._answerer.student.questions]
        return asked, self._answerer.answer(list(texts), asked).margin


def open_student(student: Path, model: Path | None, options: Mapping[str, Any]) -> OpenedStudent:
    """Return the student in a folder on the encoder in another; `options` are further settings of the answerer."""
    assert model is not None
    settings = AnswererSettings(engine="student", model="encoder", student=f"{student.as_posix()}", **options)
    return OpenedStudent(StudentAnswerer(settings, model))
