"""What a student computes, on arrays: linear heads for questions that it was taught, a conditioned score for any other.

A text's vector x (D,) holds the encoder's vectors of its parts side by side: the text itself, or the words before, the
segment, and the words after. A part without words is a vector of zeros.

    heads:        margin(x, j) = x . w_j + b_j,   or with a hidden layer   gelu(x H + h) . w_j + b_j
    conditioned:  margin(x, q) = scale * (x - center) . M k(q) + sum over parts p of v_p x_p . (q - r) + bias
                  k(q)_s = exp(-width * |q - a_s|^2),   a_s: vectors of the questions that it was taught
                  r: mean vector of the fixed reference questions (as in the zero-shot student)

M k(q) is kernel ridge regression over questions: the weights that a question would have if it behaved as the taught
questions near to it. Far from all of them k(q) goes to 0, and the centred similarity of text and question is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layer:
    """A hidden layer gelu(x H + h): `weight` H (D, units), `bias` h (units,)."""

    weight: Vectors
    bias: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return (texts, units) of vectors (texts, D)."""
        from scipy.special import ndtr

        inner = vectors @ self.weight + self.bias
        return (inner * ndtr(inner)).astype(np.float32)  # gelu(z) = z Phi(z)


@dataclass(frozen=True, eq=False)
class Heads:
    """One linear map a question: `weight` (D, or units of the hidden layer; questions) and `bias` (questions,)."""

    weight: Vectors
    bias: Vectors
    hidden: Layer | None = None

    def margins(self, vectors: Vectors, columns: Sequence[int] | None = None) -> Vectors:
        """Return margins (texts, questions) of vectors (texts, D), for all questions or those of some columns."""
        selected = slice(None) if columns is None else list(columns)
        inner = self.hidden(vectors) if self.hidden else vectors
        return (inner @ self.weight[:, selected] + self.bias[selected]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A score for any question: `center` (D,), `map` M (D, taught), `anchors` a (taught, d), `parts` v (parts,)."""

    center: Vectors
    map: Vectors
    anchors: Vectors
    parts: Vectors
    width: float
    scale: float
    bias: float

    def margins(self, vectors: Vectors, questions: Vectors, reference: Vectors) -> Vectors:
        """Return margins (texts, questions) of vectors (texts, D) and questions' vectors (questions, d).

        `reference` (d,) is the mean vector of the reference questions.
        """
        learnt = (vectors - self.center) @ (self.map @ kernel(questions, self.anchors, self.width).T)
        by_part = vectors.reshape(len(vectors), len(self.parts), -1)
        similar = np.einsum("tpd,p->td", by_part, self.parts) @ (questions - reference).T
        return (self.scale * learnt + similar + self.bias).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Reader:
    """How texts of one form are read: with `context` (before, segment, after) or as they are; one or both scores."""

    context: bool
    heads: Heads | None
    conditioned: Conditioned | None


@dataclass(frozen=True)
class KnownQuestion:
    """A question that a student was taught, and how well it answers it on stories that it was not trained on.

    `auc` with its interval, `agreement` (share of cells answered yes or no as the teacher did), `ece` (calibration
    error) and `yes_rate` are against the teacher's answers; None where these are all alike. `trusted`: the student
    answers it; else it abstains.
    """

    text: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    agreement: float | None
    ece: float | None
    yes_rate: float | None
    trusted: bool


@dataclass(frozen=True)
class Trust:
    """When a student may be trusted. `least_auc`: of a taught question's lower bound.

    `least_similarity`: of a question that it was not taught to the nearest one that it was (cosine); None: never.
    """

    least_auc: float
    least_similarity: float | None


def kernel(questions: Vectors, anchors: Vectors, width: float) -> Vectors:
    """Return exp(-width * squared distance), (questions, anchors), of vectors of length 1.

    >>> kernel(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 0.0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    squared = np.maximum(2.0 - 2.0 * questions @ anchors.T, 0.0)
    return np.exp(-width * squared).astype(np.float32)
