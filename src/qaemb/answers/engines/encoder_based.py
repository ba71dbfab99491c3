"""What both forms of engine `student` share: an encoder, and its vectors of questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.adapter import Adapter
from qaemb.answers.encoder import Encoder
from qaemb.answers.engines.keyed import KeyedAnswerer
from qaemb.answers.reference import reference_vector
from qaemb.settings import AnswererSettings

Vectors = NDArray[np.float32]


class EncoderAnswerer(KeyedAnswerer):
    """An answerer that reads texts with a sentence encoder, once each, whatever the number of questions."""

    def __init__(self, settings: AnswererSettings, folder: Path, adapter: Adapter | None = None) -> None:
        super().__init__(settings)
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
