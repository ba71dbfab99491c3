"""The printed form of an evaluation's tables.

The reliability diagram: how often the answer was yes where an answerer said so with some probability.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.files import atomic_file
from qaemb.validation import evaluation as ev
from qaemb.validation.gold_set import GoldSet

_MAX_ROWS = 60  # questions in a printed table
_MAX_SENSITIVE = 10  # questions in the printed table of sensitivity


def scores_text(gold: GoldSet, name: str, table: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Return the printed table of one answerer: questions from the best to the worst, then mean and pooled scores."""
    scores = ev.score_names(gold)
    counts = [column for column in ("n", "n_yes") if column in table]
    shown = table[table[scores[0]].notna()].sort_values(scores[0], ascending=False, kind="stable")
    rows = shown.head(_MAX_ROWS)[["name", *counts, *scores]]
    lines = [f"\n{name} on {gold.name}", _table_text(rows, summary, counts)]
    if len(shown) > len(rows):
        lines.append(f"{len(shown) - len(rows)} more questions are in per_question.csv")
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
    questions = table[table["name"] != ev.POOLED].sort_values("sd_prompts", ascending=False, kind="stable")
    rows = questions.head(_MAX_SENSITIVE).drop(columns="question")
    lines = [f"\nHow much {answerer} depends on its prompt ({n_prompts} prompts)", _table_text(rows, summary, ["n"])]
    if len(questions) > len(rows):
        lines.append(f"{len(questions) - len(rows)} questions that depend less on it are in sensitivity.csv")
    return "\n".join(lines)


def _table_text(rows: pd.DataFrame, summary: dict[str, Any], counts: list[str]) -> str:
    """Rows of questions, and under them the summary's `mean` and `pooled`."""
    totals = [{"name": "mean over questions", **summary["mean"]}, {"name": ev.POOLED, **summary["pooled"]}]
    both = pd.concat([rows.astype({"name": object}), pd.DataFrame(totals)], ignore_index=True)[list(rows)]
    numbers = [str(column) for column in rows if column != "name"]
    formats = {column: "{:.0f}".format if column in counts else _number for column in numbers}
    return both.to_string(index=False, na_rep="-", formatters=formats)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def draw_reliability(path: Path, title: str, curves: dict[str, pd.DataFrame]) -> None:
    """Write a PNG: above, share of yes against mean P(yes) per bin and answerer; below, how many cells a bin holds.

    `curves` has, per answerer, the rows over all cells of `evaluation.reliability_table`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="calibrated")
    for name, curve in curves.items():
        above.plot(curve["mean_p"], curve["share_yes"], marker="o", markersize=4, label=name)
        below.plot(curve["mean_p"], curve["n"], marker="o", markersize=4)
    above.set(ylabel="share of yes in the gold", title=title, xlim=(0, 1), ylim=(0, 1))
    above.legend(frameon=False)
    below.set(xlabel="P(yes) of the answerer", ylabel="cells")
    below.set_ylim(bottom=0)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
