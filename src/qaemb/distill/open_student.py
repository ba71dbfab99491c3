"""A student as a plain object that answers texts: what MLflow's models and other programs open."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers import Answerer
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.answers.engines.student import StudentAnswerer
from qaemb.distill.lm import merge_adapter
from qaemb.settings import CausalAnswererSettings, StudentAnswererSettings


class OpenedStudent:
    """A student that is ready to answer; `taught`: what it answers when nothing is asked."""

    def __init__(self, answerer: Answerer, taught: Sequence[str] = ()) -> None:
        self._answerer, self._taught = answerer, taught

    def predict(self, texts: Sequence[str], questions: Sequence[str] | None) -> tuple[list[str], NDArray[np.float32]]:
        """Return the questions and margins in nats, float32 (texts, questions); None asks all that it was taught."""
        asked = list(questions or self._taught)
        return asked, self._answerer.answer(list(texts), asked).margin


def open_student(student: Path, model: Path | None, options: Mapping[str, Any]) -> OpenedStudent:
    """Return the student in a folder on the encoder in another; `options` are further settings of the answerer."""
    assert model is not None
    settings = StudentAnswererSettings(engine="student", model="encoder", student=f"{student.as_posix()}", **options)
    answerer = StudentAnswerer(settings, model)
    return OpenedStudent(answerer, [question.text for question in answerer.student.questions])


def open_language_model(adapter: Path, model: Path | None, options: Mapping[str, Any]) -> OpenedStudent:
    """Return the language model in a folder with the adapter in another merged into it; `options`: its `prompt`."""
    assert model is not None
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "model"
        merge_adapter(model, adapter, merged, "student")
        settings = CausalAnswererSettings(engine="shared", model="student", prompt=str(options["prompt"]))
        answerer = SharedAnswerer(settings, merged)
        answerer.answer(["-"], ["Is it?"])  # loads all that is in the folder
    return OpenedStudent(answerer)
