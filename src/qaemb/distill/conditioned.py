"""Training the score for any question: kernel ridge regression over texts and questions, and a share of similarity.

    W = argmin ||R - (X - mean) W||^2 + penalty ||W||^2     R: labels less their question's mean, (texts, taught)
    M = W (K + smoothing I)^-1,     K: the kernel among the taught questions (answers/students/parts.py)

A new question gets the weights M k(q), in closed form. How much of this and how much similarity of text and question
make the margin is found by logistic regression on cells of questions that were left out, in stories that were left out:
so the margin is calibrated for questions that the student never saw. So are width, penalty and smoothing chosen.
Where only a share of the learnt score is to count, slope and bias are fitted again to what is left of the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.students import Conditioned
from qaemb.answers.students.parts import kernel
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.distill.grades import question_aucs
from qaemb.errors import BadInput

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

_MIN_QUESTIONS = 10


@dataclass(frozen=True, eq=False)
class QuestionVectors:
    """The encoder's vectors of the taught questions (questions, d) and the mean of the reference questions' (d,)."""

    taught: Vectors
    reference: Vectors

    def some(self, columns: Rows) -> QuestionVectors:
        """Return the vectors of some questions."""
        return replace(self, taught=self.taught[columns])


@dataclass(frozen=True)
class ConditionedSettings:
    """What is tried; `n_folds` over questions, whose members are left out together.

    `learnt_share`: of the learnt score; the rest is left to similarity.
    """

    widths: Sequence[float] = (0.5, 1.0, 2.0)
    penalties: Sequence[float] = (30.0, 100.0, 300.0)
    smoothings: Sequence[float] = (0.03, 0.1, 0.3)
    n_folds: int = 5
    learnt_share: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FittedConditioned:
    """The score; mean AUC on left-out questions in left-out stories; per question that AUC and its `similarity`.

    `similarity` (questions,): cosine to the nearest question that was taught when it was left out.
    """

    conditioned: Conditioned
    choice: dict[str, float]
    mean_auc: float
    auc: Floats
    similarity: Floats


def fit_conditioned(
    vectors: Vectors,
    cells: TeacherCells,
    train: Rows,
    held_out: Rows,
    questions: QuestionVectors,
    settings: ConditionedSettings,
) -> FittedConditioned:
    """Return the score learnt on `train` rows of vectors (T, D), chosen and calibrated on `held_out` rows.

    A cell that the teacher was not asked counts as its question's mean. BadInput with fewer than ten questions.
    """
    if len(cells.questions) < max(_MIN_QUESTIONS, settings.n_folds):
        raise BadInput(f"{len(cells.questions)} questions are too few to learn how questions relate; teach at least 10")
    texts = _Texts(vectors[train], cells.rows(train))
    held = vectors[held_out], cells.rows(held_out)
    folds = list(_folds(len(cells.questions), settings.n_folds, settings.seed))
    similar = _similarities(held[0], questions)
    best: tuple[float, dict[str, float], Floats] | None = None
    for penalty in settings.penalties:
        heads = (held[0] - texts.center) @ texts.weights(penalty)
        for width, smoothing in product(settings.widths, settings.smoothings):
            learnt = _left_out(heads, questions.taught, folds, width, smoothing)
            mixed = _mixed(learnt, similar, _mix(learnt, similar, held[1]))
            mean = float(np.nanmean(question_aucs(mixed, held[1])))
            if best is None or mean > best[0]:
                best = mean, {"penalty": penalty, "width": width, "smoothing": smoothing}, learnt
    assert best is not None
    weights, bias = _calibrate(best[2], similar, held[1], settings.learnt_share)
    scores = question_aucs(_mixed(best[2], similar, weights), held[1])
    conditioned = _assemble(texts, questions, best[1], weights, bias)
    return FittedConditioned(conditioned, best[1], float(np.nanmean(scores)), scores, _nearest(questions.taught, folds))


def refit_conditioned(
    vectors: Vectors, cells: TeacherCells, questions: QuestionVectors, fitted: FittedConditioned
) -> Conditioned:
    """Return the score learnt on all rows, with what was chosen and calibrated before."""
    old = fitted.conditioned
    new = _assemble(_Texts(vectors, cells), questions, fitted.choice, np.append(old.scale, old.parts), 0.0)
    return replace(new, bias=old.bias)


class _Texts:
    """Products of centred vectors and labels, ready for any penalty."""

    def __init__(self, vectors: Vectors, cells: TeacherCells) -> None:
        counts = np.maximum(cells.known.sum(0), 1)
        residuals = np.where(cells.known, cells.labels - (cells.labels * cells.known).sum(0) / counts, 0.0)
        self.center = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = vectors - self.center
        self._values, self._basis = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        self._cross = self._basis.T @ (centred.T @ residuals.astype(np.float32)).astype(np.float64)

    def weights(self, penalty: float) -> Vectors:
        """Return ridge weights (D, taught questions)."""
        return (self._basis @ (self._cross / (self._values + penalty)[:, None])).astype(np.float32)


def _folds(n: int, n_folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield (taught, left out) question numbers."""
    order = np.random.default_rng(seed).permutation(n)
    for fold in range(n_folds):
        out = np.sort(order[fold::n_folds])
        yield np.setdiff1d(order, out), out


def _smoother(questions: Vectors, width: float, smoothing: float) -> Floats:
    """Return (K + smoothing I)^-1 of the taught questions."""
    gram = kernel(questions, questions, width).astype(np.float64)
    return np.asarray(np.linalg.inv(gram + smoothing * np.eye(len(gram))), np.float64)


def _left_out(
    heads: Vectors, questions: Vectors, folds: Sequence[tuple[Rows, Rows]], width: float, smoothing: float
) -> Floats:
    """Return the learnt score (texts, questions) of each question from the questions of the other folds."""
    out = np.empty(heads.shape, np.float64)
    for taught, left in folds:
        near = kernel(questions[left], questions[taught], width).astype(np.float64)
        out[:, left] = heads[:, taught] @ (near @ _smoother(questions[taught], width, smoothing)).T
    return out


def _similarities(vectors: Vectors, questions: QuestionVectors) -> Floats:
    """Return centred similarities (parts, texts, questions)."""
    d = questions.taught.shape[1]
    parts = vectors.reshape(len(vectors), -1, d).transpose(1, 0, 2)
    return (parts @ (questions.taught - questions.reference).T).astype(np.float64)


def _mixed(learnt: Floats, similar: Floats, weights: Floats) -> Floats:
    """Return the weighted sum (texts, questions) of the learnt score and the parts' similarities."""
    return weights[0] * learnt + np.tensordot(weights[1:], similar, 1)


def _mix(learnt: Floats, similar: Floats, cells: TeacherCells) -> Floats:
    """Return weights (1 + parts,) by least squares on the known cells: quicker than logistic, for choosing."""
    columns = [learnt[cells.known], *(part[cells.known] for part in similar)]
    design = np.stack([*columns, np.ones(len(columns[0]))])
    weights = np.linalg.solve(design @ design.T + 1e-9 * np.eye(len(design)), design @ cells.labels[cells.known])
    return np.asarray(weights[:-1], np.float64)


def _calibrate(learnt: Floats, similar: Floats, cells: TeacherCells, learnt_share: float) -> tuple[Floats, float]:
    """Return weights (1 + parts,) and bias that make the margin, of which a share of what is learnt is left."""
    labels = cells.labels[cells.known].astype(np.float64)
    weights, bias = _logistic([learnt[cells.known], *(part[cells.known] for part in similar)], labels)
    if learnt_share == 1:
        return weights, bias
    weights[0] *= learnt_share
    (slope,), bias = _logistic([_mixed(learnt, similar, weights)[cells.known]], labels)
    return slope * weights, bias


def _logistic(columns: Sequence[Floats], labels: Floats) -> tuple[Floats, float]:
    """Return weights (columns,) and bias of the logistic regression of labels in [0, 1], by Newton's method."""
    design = np.stack([*columns, np.ones(len(labels))], axis=1)
    weights = np.zeros(design.shape[1])
    weights[-1] = np.log(max(labels.mean(), 1e-6) / max(1 - labels.mean(), 1e-6))
    for _ in range(25):
        p = 0.5 * (1 + np.tanh(0.5 * (design @ weights)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(hessian, design.T @ (labels - p))
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights[:-1], float(weights[-1])


def _assemble(
    texts: _Texts, questions: QuestionVectors, choice: dict[str, float], mix: Floats, bias: float
) -> Conditioned:
    smoother = _smoother(questions.taught, choice["width"], choice["smoothing"])
    return Conditioned(
        center=texts.center,
        map=(texts.weights(choice["penalty"]) @ smoother).astype(np.float32),
        anchors=questions.taught,
        parts=mix[1:].astype(np.float32),
        width=choice["width"],
        scale=float(mix[0]),
        bias=bias,
    )


def _nearest(questions: Vectors, folds: Sequence[tuple[Rows, Rows]]) -> Floats:
    out = np.empty(len(questions))
    for taught, left in folds:
        out[left] = (questions[left] @ questions[taught].T).max(axis=1)
    return out
