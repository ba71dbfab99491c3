"""The project's own engines, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.answers.cases import Asked
from benchmarks.answers.timing import Timed, timed
from qaemb.answers import Answerer, build_answerer
from qaemb.settings import AnswererSettings


class EngineContestant:
    """An engine of the registry on one thread. One answerer, and so one model, is held at a time.

    It gets ready with at most `sample_texts` texts of a sample.
    """

    def __init__(self, engine: str, folder: Path, dtype: str = "float32", sample_texts: int = 4) -> None:
        self._folder, self._sample_texts = folder, sample_texts
        self._settings = {"engine": engine, "model": folder.name, "dtype": dtype, "threads": 1}
        self._prompt = ""
        self._answerer: Answerer | None = None

    def prepare(self, sample: Asked) -> None:
        """Load the model for the sample's prompt and answer the sample: an engine may look for its best pass size."""
        self.answer(sample.first(self._sample_texts))

    def answer(self, asked: Asked) -> Timed:
        """Answer, rendering and tokenising included."""
        answerer = self._for(asked.prompt)
        answers, cpu_s, wall_s = timed(lambda: answerer.answer(asked.texts, asked.questions))
        return Timed(asked.n_cells, cpu_s, wall_s, answers.margin)

    def about(self) -> dict[str, Any]:
        """Return engine and dtype."""
        return {"engine": self._settings["engine"], "dtype": self._settings["dtype"]}

    def close(self) -> None:
        """Let go of the model."""
        self._answerer, self._prompt = None, ""

    def _for(self, prompt: str) -> Answerer:
        if self._answerer is None or prompt != self._prompt:
            self._answerer = None  # before the next model is loaded
            settings = AnswererSettings.model_validate({**self._settings, "prompt": prompt})
            self._answerer, self._prompt = build_answerer(settings.engine, settings, self._folder), prompt
        return self._answerer
