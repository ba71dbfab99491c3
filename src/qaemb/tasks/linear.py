"""Logistic regression with a penalty that folds inside the training rows choose.

What a method predicted of the texts that it was tested on, and how right that was.

Why a linear model on answers says what it says: questions with their weights, and what they did for single texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from qaemb.tasks.labelled import Labelled, Rows, Split
from qaemb.tasks.representations import Represent
from qaemb.tasks.resampling import Estimate, Scores, mean_with_interval, paired_difference
from qaemb.tasks.task import Features

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


@dataclass(frozen=True)
class Predictions:
    """Codes of labels: of the tested texts (texts,), and predicted in each run (runs, texts).

    A run is a repeat of the folds, or a draw of random questions in it. Texts of one of `units` (texts,) are resampled
    together.
    """

    truth: Rows
    predicted: Rows
    units: Rows

    @property
    def correct(self) -> Scores:
        """How often each text was classified right, as a share of the runs, (texts,)."""
        share: Scores = (self.predicted == self.truth).mean(axis=0)
        return share

    def metrics(self, n_resamples: int, seed: int) -> dict[str, float]:
        """Return accuracy with its interval, balanced accuracy and macro F1, means over runs."""
        from sklearn.metrics import balanced_accuracy_score, f1_score

        balanced = [balanced_accuracy_score(self.truth, run) for run in self.predicted]
        f1 = [f1_score(self.truth, run, average="macro", zero_division=0.0) for run in self.predicted]
        accuracy = mean_with_interval(self.correct, n_resamples, seed, self.units)
        return {
            **accuracy.metrics("accuracy"),
            "balanced_accuracy": float(np.mean(balanced)),
            "macro_f1": float(np.mean(f1)),
        }

    def less(self, other: Predictions, n_resamples: int, seed: int) -> Estimate:
        """Return the difference of accuracy to another method on the same texts."""
        return paired_difference(self.correct, other.correct, n_resamples, seed, self.units)


def join(labelled: Labelled, splits: Sequence[Split], draws: Sequence[Sequence[Rows]]) -> Predictions:
    """Return the predictions of one method from those of the test rows of each split, for each draw of questions."""
    n_repeats = 1 + max(split.repeat for split in splits)
    runs = np.full((len(draws), n_repeats, len(labelled.texts)), -1, np.int64)
    for draw, by_split in zip(runs, draws, strict=True):
        for split, predicted in zip(splits, by_split, strict=True):
            draw[split.repeat, split.test] = predicted
    tested = np.flatnonzero((runs >= 0).all(axis=(0, 1)))
    return Predictions(labelled.codes[tested], runs.reshape(-1, len(labelled.texts))[:, tested], labelled.units[tested])


Array = NDArray[np.float64]

INTERCEPT = "(intercept)"


def class_scores(fitted: Fitted) -> tuple[Array, Array]:
    """Return weights (classes, questions) and intercepts (classes,) whose softmax is the model's probability."""
    weights, intercepts = fitted.model.coef_, fitted.model.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the second one's log odds alone
        return np.concatenate([-weights / 2, weights / 2]), np.concatenate([-intercepts / 2, intercepts / 2])
    return weights, intercepts


def question_table(
    labelled: Labelled, features: Features, fitted: Fitted, chosen: Sequence[Sequence[int]]
) -> pd.DataFrame:
    """Return a row per question of the model, the heaviest first; `chosen`: the columns of each split, its own first.

    `name`, `question`; `share_of_splits` whose training texts chose it; `weight_LABEL` per deviation of its answer.
    """
    weights, _ = class_scores(fitted)
    order = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")
    names = [labelled.classes[code] for code in fitted.model.classes_]
    rows: list[dict[str, Any]] = []
    for position in order:
        question = features.questions[chosen[0][position]]
        share = float(np.mean([chosen[0][position] in own for own in chosen]))
        own = {f"weight_{name}": weight for name, weight in zip(names, weights[:, position], strict=True)}
        rows.append({"name": question.name, "question": question.text, "share_of_splits": share, **own})
    return pd.DataFrame(rows)


def contribution_table(
    labelled: Labelled, features: Features, fitted: Fitted, columns: Sequence[int], rows: Rows
) -> pd.DataFrame:
    """Return, for each text of `rows`, what each question adds to the log odds of the predicted label against the next.

    `row` of the data set, `text`, `label`, `predicted`, `instead_of` (the label next in line), `question`, `answer`
    (probability of yes), `contribution`: they and the intercept's sum up to the log odds. The largest of a text first.
    """
    weights, intercepts = class_scores(fitted)
    names = [labelled.classes[code] for code in fitted.model.classes_]
    parts = []
    for row in rows:
        scores = weights @ fitted.matrix[row] + intercepts
        first, second = np.argsort(-scores)[:2]
        added = (weights[first] - weights[second]) * fitted.matrix[row]
        table = pd.DataFrame(
            {
                "row": int(row),
                "text": labelled.texts[row],
                "label": labelled.label[row],
                "predicted": names[first],
                "instead_of": names[second],
                "question": [*(features.questions[column].text for column in columns), INTERCEPT],
                "answer": [*(expit(features.margin[row, list(columns)].astype(float))), np.nan],
                "contribution": [*added, intercepts[first] - intercepts[second]],
            }
        )
        parts.append(table.sort_values("contribution", key=np.abs, ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
