"""What both forms of engine `student` share: an encoder, its vectors of questions, and the key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.adapter import Adapter
from qaemb.answers.encoder import Encoder
from qaemb.answers.reference import reference_vector
from qaemb.identity import json_id
from qaemb.settings import AnswererSettings

Vectors = NDArray[np.float32]


class EncoderAnswerer(ABC):
    """An answerer that reads texts with a sentence encoder, once each, whatever the number of questions."""

    def __init__(self, settings: AnswererSettings, folder: Path, adapter: Adapter | None = None) -> None:
        self.settings = settings
        self.encoder = Encoder(folder, settings.threads, adapter)
        self._read: dict[str, Vectors] = {}  # vectors of the questions that were read so far

    @property
    def engine_name(self) -> str:
        """The engine's name."""
        return self.settings.engine

    @property
    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything that changes an answer."""

    @cached_property
    def key(self) -> str:
        """The hash of `spec`."""
        return json_id(self.spec)

    @property
    def figures(self) -> dict[str, float]:
        """Nothing is measured."""
        return {}

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
