"""Logistic regression with a penalty that folds inside the training rows choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qaemb.tasks.folds import Rows
from qaemb.tasks.representations import Represent

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

PENALTIES = tuple(10.0**power for power in (-3, -2, -1, 0, 1))  # scikit-learn's C: from strong to weak
_MAX_STEPS = 2000


@dataclass(frozen=True)
class Fitted:
    """A model, its penalty, and the matrix of all texts that it stands on."""

    model: LogisticRegression
    penalty: float
    matrix: Any


def fit(represent: Represent, codes: Rows, train: Rows, inner: Sequence[tuple[Rows, Rows]]) -> Fitted:
    """Return a logistic regression on the training rows, at the penalty of the least log loss in the inner folds.

    What the representation learns (a vocabulary, which questions) is learnt anew in each inner fold.
    """
    losses = np.zeros(len(PENALTIES))
    for part, held_out in inner:
        losses += _losses(represent(part), codes, part, held_out)
    penalty = PENALTIES[int(losses.argmin())]
    matrix = represent(train)
    return Fitted(_model(penalty).fit(matrix[train], codes[train]), penalty, matrix)


def _losses(matrix: Any, codes: Rows, part: Rows, held_out: Rows) -> NDArray[np.float64]:
    """Return the summed log loss of held-out rows at each penalty; each fit begins where the one before ended."""
    from sklearn.metrics import log_loss

    model = _model(PENALTIES[0]).set_params(warm_start=True)
    known = np.unique(codes[part])
    rows = held_out[np.isin(codes[held_out], known)]  # with groups, a class may be in the held-out fold alone
    losses = []
    for penalty in PENALTIES:
        model.set_params(C=penalty).fit(matrix[part], codes[part])
        losses.append(log_loss(codes[rows], model.predict_proba(matrix[rows]), normalize=False, labels=known))
    return np.array(losses)


def _model(penalty: float) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, max_iter=_MAX_STEPS)
