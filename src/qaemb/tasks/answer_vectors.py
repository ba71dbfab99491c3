"""Answers as vectors that can be compared: margins beside what is usual, counted by how far the model was answering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.tasks.task import Values

Matrix = NDArray[np.float64]

_TINY = 1e-9


@dataclass(frozen=True)
class Usual:
    """What is usual per question: `centre`, the mean margin, and `scale`, its standard deviation, both (questions,)."""

    centre: Matrix
    scale: Matrix

    @classmethod
    def of(cls, margin: Values) -> Usual:
        """Return mean and deviation over texts (texts, questions)."""
        return cls(margin.mean(axis=0, dtype=np.float64), margin.std(axis=0, dtype=np.float64))


def answer_deviations(margin: Values, mass: Values, usual: Usual) -> Matrix:
    """Return (texts, questions): margins in standard deviations from the usual, times the mass.

    A cell in which the model was not answering (mass 0, also where a student abstains) then says nothing, and a
    question that all texts answer alike, nothing either.
    """
    deviation = (margin - usual.centre) / np.maximum(usual.scale, _TINY)
    return np.where(usual.scale > _TINY, deviation, 0.0) * mass


def answer_vectors(margin: Values, mass: Values, usual: Usual) -> Matrix:
    """Return answer deviations as vectors of length 1 (texts, questions); a text without any answer is all 0."""
    vectors = answer_deviations(margin, mass, usual)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
