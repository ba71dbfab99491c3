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
from qaemb.distill.lm.adapter import merge_adapter
from qaemb.settings import AnswererSettings


class _OpenedStudent:
    """A student that is ready to answer; `taught`: the questions that it answers by default."""

    def __init__(self, answerer: Answerer, taught: Sequence[str] = ()) -> None:
        self._answerer, self._taught = answerer, taught

    def predict(self, texts: Sequence[str], questions: Sequence[str] | None) -> tuple[list[str], NDArray[np.float32]]:
        """Return the questions and margins in nats, float32 (texts, questions); None asks all that it was taught."""
        names = list(questions or self._taught)
        return names, self._answerer.answer(list(texts), names).margin


def open_student(student: Path, model: Path | None, options: Mapping[str, Any]) -> _OpenedStudent:
    """Return the student in a folder on the encoder in another; `options` are further settings of the answerer."""
    assert model is not None
    settings = AnswererSettings(engine="student", model="encoder", student=f"{student.as_posix()}", **options)
    answerer = StudentAnswerer(settings, model)
    return _OpenedStudent(answerer, [question.text for question in answerer.student.questions])


def open_language_model(adapter: Path, model: Path | None, options: Mapping[str, Any]) -> _OpenedStudent:
    """Return the language model in a folder with the adapter in another merged into it; `options`: its `prompt`."""
    assert model is not None
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "model"
        merge_adapter(model, adapter, merged, "student")
        settings = AnswererSettings(engine="shared", model="student", prompt=str(options["prompt"]))
        answerer = SharedAnswerer(settings, merged)
        answerer.answer(["-"], ["Is it?"])  # loads all that is in the folder
    return _OpenedStudent(answerer)
