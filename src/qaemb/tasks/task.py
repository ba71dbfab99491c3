"""What every task has in common: texts, the features of these texts, and results by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.questions import Question

Values = NDArray[np.float32]


class Task(Protocol):
    """A data set of one kind. Its texts are answered and embedded before the task is evaluated."""

    @property
    def texts(self) -> list[str]:
        """All texts of the task, each once."""


@dataclass(frozen=True)
class Features:
    """What is known of a task's texts: rows in the order of `texts`.

    `margin`, `mass` float32 (texts, questions); `embedding` float32 (texts, dimensions), rows of length 1.
    `question_embedding`: the questions' own wording by the same encoder, float32 (questions, dimensions).
    """

    texts: Sequence[str]
    questions: Sequence[Question]
    margin: Values
    mass: Values
    embedding: Values
    question_embedding: Values

    def rows(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each text."""
        row = {text: number for number, text in enumerate(self.texts)}
        return np.array([row[text] for text in texts], np.int64)

    @property
    def names(self) -> list[str]:
        """The questions' names, in the order of the columns."""
        return [question.name for question in self.questions]


@dataclass(frozen=True)
class MethodResult:
    """One method (`answers`, `bm25`, `embedding`, ...) on a task: an MLflow run of its own."""

    name: str
    metrics: Mapping[str, float]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskResult:
    """All methods on a task, in the order to show; `metrics` compares them; `tables` are written as CSV by name."""

    methods: Sequence[MethodResult]
    metrics: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: Sequence[str] = ()
