"""Which texts show that a question moved: those answered most differently, and those answered most extremely now."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.stats import Floats, probability
from qaemb.validation.drift.accepted import KEY
from qaemb.validation.drift.compare import Drift

TEXT_COLUMNS = ["name", "kind", KEY, "text", "margin_before", "margin", "p_before", "p"]
CHANGED, EXTREME = "changed", "extreme"


def telling_texts(drift: Drift, n: int = 3) -> pd.DataFrame:
    """Return TEXT_COLUMNS, for each question that moved (in the order of `drift.moved`) up to 2 n rows.

    kind `changed`: common texts whose P(yes) changed most, of equal ones those whose margin did. kind `extreme`: texts
    that the reference lacks (if it has all: any) with the highest margin now if margins rose on average, else with the
    lowest. `margin_before` and `p_before` are NaN for a text that the reference lacks.
    """
    old = {question.question_id: question.name for question in drift.before.questions}
    tables = [
        _of_question(drift, old[key], name, n)
        for key, name in zip(drift.moved["question_id"], drift.moved["name"], strict=True)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=TEXT_COLUMNS)


def _of_question(drift: Drift, old: str, new: str, n: int) -> pd.DataFrame:
    now = drift.now.margin[new].to_numpy(np.float64)
    before = np.full(len(now), np.nan)
    before[drift.common.now] = drift.before.margin[old].to_numpy(np.float64)[drift.common.before]
    kinds = {CHANGED: _most_changed(before, now)[:n], EXTREME: _most_extreme(drift, old, before, now)[:n]}
    rows = np.concatenate(list(kinds.values()))
    ids = drift.now.margin[KEY].to_numpy()[rows]
    return pd.DataFrame(
        {
            "name": new,
            "kind": [kind for kind, own in kinds.items() for _ in own],
            KEY: ids,
            "text": [drift.now.texts.get(key, "") for key in ids],
            "margin_before": before[rows],
            "margin": now[rows],
            "p_before": probability(before[rows]),
            "p": probability(now[rows]),
        }
    )


def _most_changed(before: Floats, now: Floats) -> NDArray[np.int64]:
    """Return the rows of common texts, the most changed first; P(yes) counts in steps of .001."""
    common = np.flatnonzero(np.isfinite(before))
    a, b = before[common], now[common]
    return common[np.lexsort((-np.abs(b - a), -np.abs(probability(b) - probability(a)).round(3)))]


def _most_extreme(drift: Drift, old: str, before: Floats, now: Floats) -> NDArray[np.int64]:
    new_texts = np.flatnonzero(np.isnan(before))
    rows = new_texts if len(new_texts) else np.arange(len(now))
    rose = now.mean() > drift.before.margin[old].mean()
    return rows[np.argsort(-now[rows] if rose else now[rows], kind="stable")]
