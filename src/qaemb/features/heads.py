"""Graded answers to published questions: a linear map from an embedding of the text to each question's labels.

    W = argmin ||L - E W||^2 + penalty ||W||^2,        E (TRs, d) with a column of ones, L (TRs, questions)

Published labels are noisy and cut to yes or no; the map gives the part of them that the words carry, as a degree. It is
learnt on train stories alone. What it says about a train story comes from maps that did not see this story's labels,
so that features of train and test stories are made alike; labels of test stories are never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qaemb.arrays import Array, Floats, Floats32
from qaemb.errors import BadInput
from qaemb.folds import every_nth

_PENALTIES = tuple(float(10.0**power) for power in (-1, 0, 1, 2, 3))


@dataclass(frozen=True)
class _Heads:
    """Story -> graded answers float32 (n_trs, questions), the penalty chosen, its mean held-out r over questions."""

    values: dict[str, Floats32]
    penalty: float
    held_out_r: float


def fit_heads(
    embedding: Mapping[str, Floats],
    labels: Mapping[str, Floats],
    train: Sequence[str],
    n_folds: int = 5,
    seed: int = 0,
) -> _Heads:
    """Return graded answers for every story of `embedding`; folds are whole train stories.

    The penalty is the one whose values correlate best with the held-out labels. BadInput if there are fewer train
    stories than folds, or a train story has labels for another number of rows.
    """
    if len(train) < n_folds:
        raise BadInput(f"{len(train)} train stories can't make {n_folds} folds for kind `heads`")
    for story in train:
        if len(labels[story]) != len(embedding[story]):
            raise BadInput(f"story {story} has {len(embedding[story])} rows but {len(labels[story])} rows of labels")
    rows = {story: _with_ones(values) for story, values in embedding.items()}
    folds = [[train[i] for i in fold] for fold in every_nth(len(train), n_folds, seed)]
    sums = [_products(rows, labels, stories) for stories in folds]
    total = np.sum([gram for gram, _ in sums], axis=0), np.sum([cross for _, cross in sums], axis=0)
    tried = [_held_out(rows, folds, sums, total, penalty) for penalty in _PENALTIES]
    scores = [_mean_r(values, labels, train) for values in tried]
    best = int(np.argmax(scores))
    weights = _solve(*total, _PENALTIES[best])
    values = {
        story: (tried[best][story] if story in tried[best] else rows[story] @ weights).astype(np.float32)
        for story in rows
    }
    return _Heads(values, _PENALTIES[best], scores[best])


def side_by_side(values: Floats32, offsets: Sequence[int]) -> Floats32:
    """Return (rows, len(offsets) * features): block i holds the features of the row at `offsets[i]`, 0 where none is.

    >>> side_by_side(np.array([[1.0], [2.0], [3.0]], np.float32), [-1, 0, 1]).tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0]]
    """
    n, width = values.shape
    blocks = np.zeros((n, len(offsets), width), np.float32)
    for i, offset in enumerate(offsets):
        target = slice(max(0, -offset), max(0, min(n, n - offset)))
        source = slice(max(0, offset), max(0, min(n, n + offset)))
        blocks[target, i] = values[source]
    return blocks.reshape(n, -1)


def _with_ones(values: Floats) -> Array:
    return np.hstack([np.asarray(values, np.float64), np.ones((len(values), 1))])


def _products(rows: Mapping[str, Array], labels: Mapping[str, Floats], stories: Sequence[str]) -> tuple[Array, Array]:
    """Return E'E and E'L summed over stories."""
    gram = sum(rows[story].T @ rows[story] for story in stories)
    cross = sum(rows[story].T @ np.asarray(labels[story], np.float64) for story in stories)
    return np.asarray(gram), np.asarray(cross)


def _held_out(
    rows: Mapping[str, Array],
    folds: Sequence[Sequence[str]],
    sums: Sequence[tuple[Array, Array]],
    total: tuple[Array, Array],
    penalty: float,
) -> dict[str, Array]:
    """Return story -> values of the map that was learnt without the story's fold."""
    values: dict[str, Array] = {}
    for stories, (gram, cross) in zip(folds, sums, strict=True):
        weights = _solve(total[0] - gram, total[1] - cross, penalty)
        values |= {story: rows[story] @ weights for story in stories}
    return values


def _solve(gram: Array, cross: Array, penalty: float) -> Array:
    ridge = np.full(len(gram), penalty)
    ridge[-1] = 1e-9  # the column of ones: a mean is not shrunk
    return np.linalg.solve(gram + np.diag(ridge), cross)


def _mean_r(values: Mapping[str, Array], labels: Mapping[str, Floats], train: Sequence[str]) -> float:
    """Return the mean over questions of the correlation with the labels; questions with one label only are left out."""
    graded = np.vstack([values[story] for story in train])
    label = np.vstack([np.asarray(labels[story], np.float64) for story in train])
    graded, label = graded - graded.mean(axis=0), label - label.mean(axis=0)
    norm = np.sqrt((graded**2).sum(axis=0) * (label**2).sum(axis=0))
    varies = norm > 0
    return float(((graded * label).sum(axis=0)[varies] / norm[varies]).mean()) if varies.any() else 0.0
