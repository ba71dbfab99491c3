"""How much of an answerer's answers is the prompt's: the spread of every cell over prompts. Pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qaemb.validation import calibration as cal
from qaemb.validation.evaluation import POOLED, CellAnswers, score_names
from qaemb.validation.gold_set import GoldSet


def sensitivity(gold: GoldSet, answers: dict[str, CellAnswers]) -> pd.DataFrame:
    """Return the spread over prompts, a row over all cells and then one per question in the set's order.

    `answers` has an entry for each prompt, two or more. Columns: `name`, `question`, `n`;
    `sd_prompts`: mean over cells of the standard deviation over prompts of P(yes);
    `sd_texts`: standard deviation over cells of P(yes) averaged over prompts, what is left to tell texts apart;
    `share_flipped`: share of cells that are a yes (margin above 0) under some prompts and a no under others;
    `SCORE_low`, `SCORE_high`: the lowest and the highest of the prompts' scores, AUC for labels and Spearman's rho for
    ratings. Both standard deviations divide by n - 1. NaN where one is not defined.
    """
    groups = [(POOLED, "", np.arange(gold.n_cells))]
    groups += [(q.name, q.text, np.flatnonzero(gold.columns == number)) for number, q in enumerate(gold.questions)]
    return pd.DataFrame(
        [{"name": name, "question": text, **_spread(gold, list(answers.values()), on)} for name, text, on in groups]
    )


def sensitivity_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of `sensitivity` as `mean` over the questions that have them, and `pooled` over all cells."""
    numbers = table.drop(columns=["name", "question"])
    pooled = table["name"] == POOLED
    means = numbers[~pooled].drop(columns="n").mean()
    return {"mean": means.to_dict(), "pooled": numbers[pooled].iloc[0].to_dict()}


def _spread(gold: GoldSet, answers: list[CellAnswers], on: np.ndarray) -> dict[str, float]:
    margins = np.stack([own.margin[on] for own in answers])  # (prompts, cells)
    p, yes = cal.probability(margins), margins > 0
    scores = [_score(gold, own, on) for own in answers]
    name = score_names(gold)[0]
    return {
        "n": len(on),
        "sd_prompts": float(p.std(axis=0, ddof=1).mean()),
        "sd_texts": float(p.mean(axis=0).std(ddof=1)) if len(on) > 1 else float("nan"),
        "share_flipped": float((yes.any(axis=0) & ~yes.all(axis=0)).mean()),
        f"{name}_low": min(scores) if not np.isnan(scores).any() else float("nan"),
        f"{name}_high": max(scores) if not np.isnan(scores).any() else float("nan"),
    }


def _score(gold: GoldSet, answers: CellAnswers, on: np.ndarray) -> float:
    margin, labels = answers.margin[on], gold.labels[on]
    return cal.spearman(cal.probability(margin), labels) if gold.is_rating else cal.auc(margin, labels)
