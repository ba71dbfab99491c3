"""How well margins agree with a teacher's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qaemb.distill.cells import TeacherCells


def question_aucs(margins: NDArray[np.floating], data: TeacherCells) -> NDArray[np.float64]:
    """Return the AUC (Q,) of each question over its known cells; NaN where the teacher's answers are all alike.

    AUC is the chance that a text with yes (label above 0.5) has a larger margin than one with no; ties count half.
    `margins` (T, Q) are of the same texts and questions.
    """
    from sklearn.metrics import roc_auc_score

    aucs = np.full(len(data.questions), np.nan)
    for column in range(len(aucs)):
        known = data.known[:, column]
        truth = data.labels[known, column] > 0.5
        if 0 < truth.sum() < truth.size:
            aucs[column] = roc_auc_score(truth, margins[known, column])
    return aucs


def validation_sample(data: TeacherCells, n_texts: int, seed: int) -> TeacherCells:
    """Return at most `n_texts` texts of `data` of which something is known, chosen by the seed."""
    candidates = np.flatnonzero(data.known.any(axis=1))
    chosen = np.random.default_rng(seed).permutation(candidates)[:n_texts]
    return data.rows(np.sort(chosen))
