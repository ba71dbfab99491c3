"""How well answers agree with gold annotations: the grades of a job, and the evaluation of answerers on a gold set.

An evaluation has four tables: scores per question, reliability curves, the agreement between answerers, and the spread
of one answerer's cells over prompts. Each is made by a function on arrays; below are the forms that are printed, and
the reliability diagram.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb import stats
from qaemb.files import atomic_file
from qaemb.validation.gold_set import GoldSet

_N_RESAMPLES = 1000
_MAX_ROWS = 60  # questions in a printed table
_MAX_SENSITIVE = 10  # questions in the printed table of sensitivity
_POOLED = "(all cells)"  # stands for a question's name in the rows over all cells
_LABEL_SCORES = ["auc", "balanced_accuracy", "ece", "brier", "share_low_mass"]
_RATING_SCORES = ["spearman", "pearson", "share_low_mass"]


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
        _grade_one(name, property_id, rows[name].to_numpy(np.float64), table[property_id].to_numpy(np.float64))
        for name, property_id in properties.items()
        if name in margin and property_id in gold
    ]
    return pd.DataFrame(graded, columns=["name", "property", "n", "n_yes", "auc", "balanced_accuracy"])


def _grade_one(name: str, property_id: str, margins: np.ndarray, truth: np.ndarray) -> dict[str, object]:
    from sklearn.metrics import roc_auc_score  # as `stats.auc`, but rounded as in grades.csv files that exist

    n_yes = int(truth.sum())
    return {
        "name": name,
        "property": property_id,
        "n": truth.size,
        "n_yes": n_yes,
        "auc": float(roc_auc_score(truth, margins)) if 0 < n_yes < truth.size else np.nan,
        "balanced_accuracy": stats.balanced_accuracy(margins, truth),
    }


@dataclass(frozen=True, eq=False)
class CellAnswers:
    """One answerer's answers to a gold set's cells: margin (nats) and mass, (n_cells,) each, in the set's order."""

    margin: stats.Floats
    mass: stats.Floats


def _score_names(gold: GoldSet) -> list[str]:
    """Return the names of the scores of this kind of gold; the first is the one that may be undefined."""
    return _RATING_SCORES if gold.is_rating else _LABEL_SCORES


def per_question(gold: GoldSet, answers: CellAnswers, low_mass: float) -> pd.DataFrame:
    """Return `name`, `question`, `n`, `n_yes` (labels only) and the scores, a row per question in the set's order.

    NaN where a score is not defined: AUC and balanced accuracy with one class, correlations with a constant side.
    """
    _, *questions = _groups(gold)
    return pd.DataFrame(
        [{"name": name, "question": text, **_scores(gold, answers, cells, low_mass)} for name, text, cells in questions]
    )


def overall(gold: GoldSet, answers: CellAnswers, table: pd.DataFrame, low_mass: float, seed: int) -> dict[str, Any]:
    """Return the summary of one answerer: `mean` over the questions where the first score is defined, and `pooled`.

    Also how many questions those are (`n_defined`) and aren't (`n_undefined`), and for labels the bootstrap 95 %
    intervals over texts, `mean_auc_interval` and `pooled_auc_interval`.
    """
    scores = _score_names(gold)
    defined = table[table[scores[0]].notna()]
    result: dict[str, Any] = {
        "n_defined": len(defined),
        "n_undefined": len(table) - len(defined),
        "mean": {score: float(defined[score].mean()) for score in scores},
        "pooled": _scores(gold, answers, np.arange(gold.n_cells), low_mass),
    }
    if not gold.is_rating:
        pooled, *questions = [
            stats.Cells(gold.rows[cells], answers.margin[cells], gold.labels[cells]) for _, _, cells in _groups(gold)
        ]
        with_auc = [questions[number] for number in defined.index]
        for name, cells in (("mean_auc_interval", with_auc), ("pooled_auc_interval", [pooled])):
            resampled = stats.bootstrap_mean_auc(cells, len(gold.texts), _N_RESAMPLES, seed) if cells else np.array([])
            result[name] = list(stats.interval(resampled))
    return result


def reliability_table(gold: GoldSet, answers: CellAnswers) -> pd.DataFrame:
    """Return the reliability curves: `name`, `low`, `high` (the bin), `n`, `mean_p`, `share_yes`; all cells first.

    Bins without cells have no row.
    """
    tables = []
    for name, _, cells in _groups(gold):
        curve = stats.reliability(answers.margin[cells], gold.labels[cells])
        values = {
            "name": name,
            "low": curve.bin / stats.N_BINS,
            "high": (curve.bin + 1) / stats.N_BINS,
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
    rows = [
        {"first": first, "second": second, "name": name, **_alike(a.margin[cells], b.margin[cells])}
        for (first, a), (second, b) in combinations(answers.items(), 2)
        for name, _, cells in _groups(gold)
    ]
    return pd.DataFrame(rows, columns=["first", "second", "name", "n", "r", "share_equal", "kappa"])


def agreement_summary(alike: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a dictionary a pair: `first`, `second`, and the numbers of `agreement` as `mean` and `pooled`.

    `mean` is over the questions that have the number, `pooled` over all cells.
    """
    pairs = []
    for (first, second), rows in alike.groupby(["first", "second"], sort=False):
        pooled = rows["name"] == _POOLED
        values = rows[["r", "share_equal", "kappa"]]
        means, over_all = values[~pooled].mean().to_dict(), values[pooled].iloc[0].to_dict()
        pairs.append({"first": first, "second": second, "mean": means, "pooled": over_all})
    return pairs


def _alike(a: stats.Floats, b: stats.Floats) -> dict[str, float]:
    return {
        "n": len(a),
        "r": stats.pearson(a, b),
        "share_equal": float(((a > 0) == (b > 0)).mean()),
        "kappa": stats.kappa(a > 0, b > 0),
    }


def _groups(gold: GoldSet) -> list[tuple[str, str, NDArray[np.int64]]]:
    """Return name, words and cells of all cells together (`_POOLED`), then of each question in the set's order."""
    by_question = [(q.name, q.text, np.flatnonzero(gold.columns == i)) for i, q in enumerate(gold.questions)]
    return [(_POOLED, "", np.arange(gold.n_cells)), *by_question]


def _scores(gold: GoldSet, answers: CellAnswers, cells: np.ndarray, low_mass: float) -> dict[str, Any]:
    margin, labels = answers.margin[cells], gold.labels[cells]
    low = float((answers.mass[cells] < low_mass).mean())
    if gold.is_rating:
        p = stats.probability(margin)
        return {
            "n": len(cells),
            "spearman": stats.spearman(p, labels),
            "pearson": stats.pearson(p, labels),
            "share_low_mass": low,
        }
    return {
        "n": len(cells),
        "n_yes": int(labels.sum()),
        "auc": stats.auc(margin, labels),
        "balanced_accuracy": stats.balanced_accuracy(margin, labels),
        "ece": stats.reliability(margin, labels).ece(),
        "brier": stats.brier(margin, labels),
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
    prompts = list(answers.values())
    return pd.DataFrame(
        [{"name": name, "question": text, **_spread(gold, prompts, cells)} for name, text, cells in _groups(gold)]
    )


def sensitivity_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of `sensitivity` as `mean` over the questions that have them, and `pooled` over all cells."""
    numbers = table.drop(columns=["name", "question"])
    pooled = table["name"] == _POOLED
    means = numbers[~pooled].drop(columns="n").mean()
    return {"mean": means.to_dict(), "pooled": numbers[pooled].iloc[0].to_dict()}


def _spread(gold: GoldSet, prompts: list[CellAnswers], cells: np.ndarray) -> dict[str, float]:
    margins, labels = np.stack([answers.margin[cells] for answers in prompts]), gold.labels[cells]  # (prompts, cells)
    p, yes = stats.probability(margins), margins > 0
    if gold.is_rating:
        scores = [stats.spearman(of_prompt, labels) for of_prompt in p]
    else:
        scores = [stats.auc(margin, labels) for margin in margins]
    name = _score_names(gold)[0]
    return {
        "n": len(cells),
        "sd_prompts": float(p.std(axis=0, ddof=1).mean()),
        "sd_texts": float(p.mean(axis=0).std(ddof=1)) if len(cells) > 1 else float("nan"),
        "share_flipped": float((yes.any(axis=0) & ~yes.all(axis=0)).mean()),
        f"{name}_low": min(scores) if not np.isnan(scores).any() else float("nan"),
        f"{name}_high": max(scores) if not np.isnan(scores).any() else float("nan"),
    }


def scores_text(gold: GoldSet, name: str, table: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Return the printed table of one answerer: questions from the best to the worst, then mean and pooled scores."""
    scores = _score_names(gold)
    counts = [column for column in ("n", "n_yes") if column in table]
    defined = table[table[scores[0]].notna()].sort_values(scores[0], ascending=False, kind="stable")
    rows = defined.head(_MAX_ROWS)[["name", *counts, *scores]]
    lines = [f"\n{name} on {gold.name}", _table_text(rows, summary, counts)]
    if len(defined) > len(rows):
        lines.append(f"{len(defined) - len(rows)} more questions are in per_question.csv")
    if summary["n_undefined"]:
        why = "a constant side" if gold.is_rating else "one class only"
        lines.append(f"{summary['n_undefined']} questions with {why} have no {scores[0]} and are not in the mean")
    for key, what in (("mean_auc_interval", "mean AUC"), ("pooled_auc_interval", "AUC over all cells")):
        if key in summary and not math.isnan(summary[key][0]):
            low, high = summary[key]
            lines.append(f"{what}: 95 % interval {low:.3f} to {high:.3f} (bootstrap over texts)")
    return "\n".join(lines)


def agreement_text(pairs: list[dict[str, Any]]) -> str:
    """Return the printed lines of `agreement_summary`, one a pair."""
    lines = ["\nAgreement between answerers (mean over questions; over all cells)"]
    for row in pairs:
        scores = [f"{key} {_number(row['mean'][key])}; {_number(row['pooled'][key])}" for key in row["mean"]]
        lines.append(f"  {row['first']} / {row['second']}: " + ", ".join(scores))
    return "\n".join(lines)


def sensitivity_text(answerer: str, n_prompts: int, table: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Return the printed table of sensitivity: the questions that depend most on the prompt, then mean and pooled."""
    questions = table[table["name"] != _POOLED].sort_values("sd_prompts", ascending=False, kind="stable")
    rows = questions.head(_MAX_SENSITIVE).drop(columns="question")
    lines = [f"\nHow much {answerer} depends on its prompt ({n_prompts} prompts)", _table_text(rows, summary, ["n"])]
    if len(questions) > len(rows):
        lines.append(f"{len(questions) - len(rows)} questions that depend less on it are in sensitivity.csv")
    return "\n".join(lines)


def _table_text(rows: pd.DataFrame, summary: dict[str, Any], counts: list[str]) -> str:
    """Return rows of questions, and under them the summary's `mean` and `pooled`, as text."""
    totals = [{"name": "mean over questions", **summary["mean"]}, {"name": _POOLED, **summary["pooled"]}]
    both = pd.concat([rows.astype({"name": object}), pd.DataFrame(totals)], ignore_index=True)[list(rows)]
    numbers = [str(column) for column in rows if column != "name"]
    formats = {column: "{:.0f}".format if column in counts else _number for column in numbers}
    return both.to_string(index=False, na_rep="-", formatters=formats)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def draw_reliability(path: Path, title: str, curves: dict[str, pd.DataFrame]) -> None:
    """Write a PNG: above, share of yes against mean P(yes) per bin and answerer; below, how many cells a bin holds.

    `curves` are the answerers' reliability tables; their rows over all cells are drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="calibrated")
    for name, table in curves.items():
        curve = table[table["name"] == _POOLED]
        above.plot(curve["mean_p"], curve["share_yes"], marker="o", markersize=4, label=name)
        below.plot(curve["mean_p"], curve["n"], marker="o", markersize=4)
    above.set(ylabel="share of yes in the gold", title=title, xlim=(0, 1), ylim=(0, 1))
    above.legend(frameon=False)
    below.set(xlabel="P(yes) of the answerer", ylabel="cells")
    below.set_ylim(bottom=0)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
