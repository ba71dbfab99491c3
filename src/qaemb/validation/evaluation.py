"""Tables of an evaluation: how well answerers agree with a gold set, and with each other.

How much of an answerer's answers is the prompt's: the spread of every cell over prompts. Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qaemb import stats as cal
from qaemb.validation.gold_set import GoldSet

N_RESAMPLES = 1000
POOLED = "(all cells)"  # stands for a question's name in the rows over all cells
LABEL_SCORES = ["auc", "balanced_accuracy", "ece", "brier", "share_low_mass"]
RATING_SCORES = ["spearman", "pearson", "share_low_mass"]


@dataclass(frozen=True, eq=False)
class CellAnswers:
    """One answerer's answers to a gold set's cells: margin (nats) and mass, (n_cells,) each, in the set's order."""

    margin: cal.Floats
    mass: cal.Floats


def score_names(gold: GoldSet) -> list[str]:
    """Return the names of the scores of this kind of gold; the first is the one that may be undefined."""
    return RATING_SCORES if gold.is_rating else LABEL_SCORES


def per_question(gold: GoldSet, answers: CellAnswers, low_mass: float) -> pd.DataFrame:
    """Return `name`, `question`, `n`, `n_yes` (labels only) and the scores, a row per question in the set's order.

    NaN where a score is not defined: AUC and balanced accuracy with one class, correlations with a constant side.
    """
    rows = []
    for number, question in enumerate(gold.questions):
        chosen = np.flatnonzero(gold.columns == number)
        rows.append({"name": question.name, "question": question.text, **_scores(gold, answers, chosen, low_mass)})
    return pd.DataFrame(rows)


def overall(gold: GoldSet, answers: CellAnswers, table: pd.DataFrame, low_mass: float, seed: int) -> dict[str, Any]:
    """Return the summary of one answerer: `mean` over the questions where the first score is defined, and `pooled`.

    Also how many questions those are (`n_defined`) and aren't (`n_undefined`), and for labels the bootstrap 95 %
    intervals over texts, `mean_auc_interval` and `pooled_auc_interval`.
    """
    scores = score_names(gold)
    defined = table[table[scores[0]].notna()]
    result: dict[str, Any] = {
        "n_defined": len(defined),
        "n_undefined": len(table) - len(defined),
        "mean": {score: float(defined[score].mean()) for score in scores},
        "pooled": _scores(gold, answers, np.arange(gold.n_cells), low_mass),
    }
    if not gold.is_rating:
        questions = [_cells(gold, answers, np.flatnonzero(gold.columns == number)) for number in defined.index]
        pooled = [_cells(gold, answers, np.arange(gold.n_cells))]
        for name, cells in (("mean_auc_interval", questions), ("pooled_auc_interval", pooled)):
            resampled = cal.bootstrap_mean_auc(cells, len(gold.texts), N_RESAMPLES, seed) if cells else np.array([])
            result[name] = list(cal.interval(resampled))
    return result


def reliability_table(gold: GoldSet, answers: CellAnswers) -> pd.DataFrame:
    """Return the reliability curves: `name`, `low`, `high` (the bin), `n`, `mean_p`, `share_yes`; all cells first.

    Bins without cells have no row.
    """
    curves = [(POOLED, np.arange(gold.n_cells))]
    curves += [(q.name, np.flatnonzero(gold.columns == number)) for number, q in enumerate(gold.questions)]
    tables = []
    for name, chosen in curves:
        curve = cal.reliability(answers.margin[chosen], gold.labels[chosen])
        values = {
            "name": name,
            "low": curve.bin / cal.N_BINS,
            "high": (curve.bin + 1) / cal.N_BINS,
            "n": curve.n,
            "mean_p": curve.mean_p,
            "share_yes": curve.share_yes,
        }
        tables.append(pd.DataFrame(values))
    return pd.concat(tables, ignore_index=True)


def agreement(gold: GoldSet, answers: dict[str, CellAnswers]) -> pd.DataFrame:
    """Return how alike two answerers answer: `first`, `second`, `name`, `n`, `r`, `share_equal`, `kappa`.

    A row per pair of answerers and question, and before these one per pair over all cells. `r` is Pearson's of the
    margins; `share_equal` and `kappa` compare yes (margin above 0) with no. Labels play no part.
    """
    names = list(answers)
    rows: list[dict[str, Any]] = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            pair = (answers[first].margin, answers[second].margin)
            groups = [(POOLED, np.arange(gold.n_cells))]
            groups += [(q.name, np.flatnonzero(gold.columns == number)) for number, q in enumerate(gold.questions)]
            rows += [{"first": first, "second": second, "name": name, **_alike(*pair, on)} for name, on in groups]
    return pd.DataFrame(rows, columns=["first", "second", "name", "n", "r", "share_equal", "kappa"])


def agreement_summary(alike: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a dictionary a pair: `first`, `second`, and the numbers of `agreement` as `mean` and `pooled`.

    `mean` is over the questions that have the number, `pooled` over all cells.
    """
    pairs = []
    for (first, second), rows in alike.groupby(["first", "second"], sort=False):
        pooled = rows["name"] == POOLED
        values = rows[["r", "share_equal", "kappa"]]
        means, over_all = values[~pooled].mean().to_dict(), values[pooled].iloc[0].to_dict()
        pairs.append({"first": first, "second": second, "mean": means, "pooled": over_all})
    return pairs


def _alike(first: cal.Floats, second: cal.Floats, on: np.ndarray) -> dict[str, float]:
    a, b = first[on], second[on]
    return {
        "n": len(on),
        "r": cal.pearson(a, b),
        "share_equal": float(((a > 0) == (b > 0)).mean()),
        "kappa": cal.kappa(a > 0, b > 0),
    }


def _cells(gold: GoldSet, answers: CellAnswers, chosen: np.ndarray) -> cal.Cells:
    return cal.Cells(gold.rows[chosen], answers.margin[chosen], gold.labels[chosen])


def _scores(gold: GoldSet, answers: CellAnswers, chosen: np.ndarray, low_mass: float) -> dict[str, Any]:
    margin, labels = answers.margin[chosen], gold.labels[chosen]
    low = float((answers.mass[chosen] < low_mass).mean())
    if gold.is_rating:
        p = cal.probability(margin)
        return {
            "n": len(chosen),
            "spearman": cal.spearman(p, labels),
            "pearson": cal.pearson(p, labels),
            "share_low_mass": low,
        }
    return {
        "n": len(chosen),
        "n_yes": int(labels.sum()),
        "auc": cal.auc(margin, labels),
        "balanced_accuracy": cal.balanced_accuracy(margin, labels),
        "ece": cal.reliability(margin, labels).ece(),
        "brier": cal.brier(margin, labels),
        "share_low_mass": low,
    }


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
