"""How well a student answers as its teacher does, per question, on stories that it was not trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.distill.cells import TeacherCells
from qaemb.validation import calibration as cal

N_RESAMPLES = 1000
COLUMNS = ["question", "n", "yes_rate", "auc", "auc_low", "auc_high", "agreement", "kappa", "ece", "brier"]


def grade_student(margin: NDArray[np.float32], cells: TeacherCells, seed: int = 0) -> pd.DataFrame:
    """Return a row per question with COLUMNS, of margins (T, Q) against the teacher's cells.

    `auc` with a 95 % interval from resampled stories (cells of one story are not independent); `agreement`: share of
    cells in which both say the same, the student yes where its margin is above 0, and `kappa`: the same beyond chance;
    `ece` and `brier` of sigmoid(margin). NaN where a question has one kind of answer only, or none.
    """
    names = sorted(set(cells.groups))
    number = {name: place for place, name in enumerate(names)}
    story = np.array([number[group] for group in cells.groups])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), N_RESAMPLES).astype(np.float64)
    rows = []
    for column, question in enumerate(cells.questions):
        known = cells.known[:, column]
        own = margin[known, column].astype(np.float64)
        truth = (cells.labels[known, column] > 0.5).astype(np.float64)
        rows.append({"question": question, **_grade(own, truth, draws[:, story[known]])})
    return pd.DataFrame(rows, columns=COLUMNS)


def trusted(table: pd.DataFrame, least_auc: float) -> NDArray[np.bool_]:
    """Return for each row whether the lower end of its AUC is at least `least_auc`; not where it is NaN."""
    return (table["auc_low"] >= least_auc).to_numpy()


def least_similarity(
    auc: NDArray[np.float64], similarity: NDArray[np.float64], least_auc: float, least_questions: int = 10
) -> float | None:
    """Return how near a new question must be to a taught one to be trusted; None if no nearness is enough.

    From questions that were left out: the smallest similarity such that those at least as near have a mean AUC whose
    lower bound (mean - 1.645 standard errors) is at least `least_auc`. At least `least_questions` of them must be left.
    """
    known = np.isfinite(auc)
    order = np.argsort(-similarity[known])
    values, near = auc[known][order], similarity[known][order]
    best = None
    for n in range(least_questions, len(values) + 1):
        first = values[:n]
        if first.mean() - 1.645 * first.std(ddof=1) / np.sqrt(n) >= least_auc:
            best = float(near[n - 1])
    return best


def question_aucs(margin: NDArray[np.floating], cells: TeacherCells) -> NDArray[np.float64]:
    """Return the AUC (Q,) of each question over its known cells; NaN where the teacher's answers are all alike.

    A label above 0.5 counts as yes. `margin` (T, Q) is of the same texts and questions.
    """
    return np.array(
        [
            cal.auc(margin[known, column].astype(np.float64), (cells.labels[known, column] > 0.5).astype(np.float64))
            if known.any()
            else np.nan
            for column, known in enumerate(cells.known.T)
        ]
    )


def _grade(margin: NDArray[np.float64], truth: NDArray[np.float64], counts: NDArray[np.float64]) -> dict[str, float]:
    if not len(truth):
        return {"n": 0}
    low, high = cal.interval(cal.resampled_auc(margin, truth, counts))
    return {
        "n": len(truth),
        "yes_rate": float(truth.mean()),
        "auc": cal.auc(margin, truth),
        "auc_low": low,
        "auc_high": high,
        "agreement": float(((margin > 0) == truth).mean()),
        "kappa": cal.kappa(margin > 0, truth == 1.0),
        "ece": cal.reliability(margin, truth).ece(),
        "brier": cal.brier(margin, truth),
    }
