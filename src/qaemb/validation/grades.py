"""How well answers agree with gold annotations: one row per question that asks for a gold property."""

from __future__ import annotations

import numpy as np
import pandas as pd


def grade(
    margin: pd.DataFrame, occurrences: pd.DataFrame, gold: pd.DataFrame, properties: dict[str, str]
) -> pd.DataFrame:
    """Return a table `name`, `property`, `n`, `n_yes`, `auc`, `balanced_accuracy`, a row per graded question.

    Parameters
    ----------
    margin : `segment_id` and one column of margins per question.
    occurrences : `story`, `index` (of the sentence) and `segment_id`; a sentence told twice counts twice.
    gold : `story`, `index` and one bool column per property.
    properties : the property that a question asks for, by the question's name; questions that are not in `margin` and
        properties that are not in `gold` are left out.

    AUC is the chance that a sentence with the property has a larger margin than one without it (ties count half).
    Balanced accuracy is the mean of the two classes' accuracies when a margin above 0 means yes. Both are NaN where a
    property is the same in all sentences.
    """
    table = occurrences[["story", "index", "segment_id"]].merge(gold, on=["story", "index"], validate="one_to_one")
    rows = table[["segment_id"]].merge(
        margin.set_index("segment_id"), left_on="segment_id", right_index=True, how="left"
    )
    graded = [
        _grade_one(name, property_id, rows[name].to_numpy(np.float64), table[property_id].to_numpy(bool))
        for name, property_id in properties.items()
        if name in margin and property_id in gold
    ]
    return pd.DataFrame(graded, columns=["name", "property", "n", "n_yes", "auc", "balanced_accuracy"])


def _grade_one(name: str, property_id: str, margins: np.ndarray, truth: np.ndarray) -> dict[str, object]:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    n_yes = int(truth.sum())
    varies = 0 < n_yes < truth.size
    return {
        "name": name,
        "property": property_id,
        "n": int(truth.size),
        "n_yes": n_yes,
        "auc": float(roc_auc_score(truth, margins)) if varies else np.nan,
        "balanced_accuracy": float(balanced_accuracy_score(truth, margins > 0)) if varies else np.nan,
    }
