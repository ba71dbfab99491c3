"""Why a linear model on answers says what it says: questions with their weights, and what they did for single texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.tasks.folds import Rows
from qaemb.tasks.labelled import Labelled
from qaemb.tasks.linear import Fitted
from qaemb.tasks.task import Features

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
                "answer": [*(1.0 / (1.0 + np.exp(-features.margin[row, list(columns)].astype(float)))), np.nan],
                "contribution": [*added, intercepts[first] - intercepts[second]],
            }
        )
        parts.append(table.sort_values("contribution", key=np.abs, ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
