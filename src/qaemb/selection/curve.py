"""The tables and the figure of a selection: every point, the score by number of questions, the order of entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.files import atomic_file, write_table
from qaemb.selection.methods import METHODS, Subset
from qaemb.selection.nested import Selection, standard_error


def write_tables(folder: Path, selection: Selection, space: str) -> pd.DataFrame:
    """Write path.parquet, curve.csv, entry.csv and curve.png of one space to a folder; return the curve's table."""
    path = _path_table(selection)
    curve = _curve_table(path)
    write_table(folder / "path.parquet", path)
    for name, table in (("curve.csv", curve), ("entry.csv", _entry_table(selection))):
        with atomic_file(folder / name) as temporary:
            table.to_csv(temporary, index=False)
    _draw_curve(folder / "curve.png", curve, space, selection.chosen_set)
    return curve


def _path_table(selection: Selection) -> pd.DataFrame:
    """Return path.parquet: per subject a row for each final set, with `fold` -1 and its test r, and a row for each
    set proposed without a fold, with that fold and `r` NaN. `cv_r` is nested r: on the fold, or the mean over folds.
    """
    rows = []
    for subject, scores in selection.scores.items():
        nested = selection.nested(subject)
        for i, subset in enumerate(selection.final):
            about = {"subject": subject, "r": scores.test[subset.features], "cv_r": float(nested[i].mean())}
            rows.append(about | _describe(subset, -1, selection.names))
            for fold, sets in enumerate(selection.folds):
                about = {"subject": subject, "r": float("nan"), "cv_r": float(nested[i, fold])}
                rows.append(about | _describe(sets[i], fold, selection.names))
    columns = ["subject", "method", "repeat", "fold", "alpha", "n_questions", "questions", "r", "cv_r"]
    return pd.DataFrame(rows, columns=columns)


def _describe(subset: Subset, fold: int, names: Sequence[str]) -> dict[str, Any]:
    return {
        "method": subset.method,
        "repeat": subset.repeat,
        "fold": fold,
        "alpha": subset.alpha,
        "n_questions": subset.size,
        "questions": [names[i] for i in subset.features],
    }


def _curve_table(path: pd.DataFrame) -> pd.DataFrame:
    """Return curve.csv: method, n_questions, subject; test `r` with its `sd` over repeats and their number `repeats`;
    nested `cv_r` (mean over repeats and folds) with its `cv_se`, the standard error over folds.
    """
    keys = ["method", "n_questions", "subject"]
    final, folds = path[path["fold"] < 0], path[path["fold"] >= 0]
    test = final.groupby(keys, sort=False)["r"].agg(r="mean", sd="std", repeats="size")
    by_fold = folds.groupby([*keys, "fold"], sort=False)["cv_r"].mean().unstack("fold").loc[test.index]
    test["cv_r"] = by_fold.mean(axis=1)
    test["cv_se"] = standard_error(by_fold.to_numpy())
    return test.reset_index()


def _entry_table(selection: Selection) -> pd.DataFrame:
    """Return entry.csv: the questions of the final path in order of entry.

    `question`; `n_questions`, the size of the first set that has it; `chosen`; `fold_share`, the share of folds whose
    set of the chosen size has it; for `stability` also `half_share`, that of the halves of all train stories on which
    the elastic net keeps it at the penalty of the chosen size.
    """
    chosen_set = selection.chosen_set
    in_folds = [sets[selection.chosen].features for sets in selection.folds]
    rows = [
        {
            "question": selection.names[feature],
            "n_questions": size,
            "chosen": feature in chosen_set.features,
            "fold_share": float(np.mean([feature in features for features in in_folds])),
        }
        for feature, size in selection.order
    ]
    table = pd.DataFrame(rows)
    if chosen_set.shares:
        table["half_share"] = [chosen_set.shares[feature] for feature, _ in selection.order]
    return table


def _draw_curve(path: Path, curve: pd.DataFrame, space: str, chosen: Subset) -> None:
    """Write a PNG of nested and of test r by set size, means over subjects.

    Bands are the subjects' mean standard error over folds, and mean standard deviation over repeats.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    nested, test = figure.subplots(1, 2)
    for axes, value, spread, of in (
        (nested, "cv_r", "cv_se", "held-out train stories (nested)"),
        (test, "r", "sd", "test stories"),
    ):
        mean = curve.groupby(["method", "n_questions"], sort=False)[[value, spread]].mean().reset_index()
        for method, points in mean.groupby("method", sort=False):
            by_size = points.sort_values("n_questions")
            color, line = METHODS[str(method)].look
            label = str(method).replace("_", " ")
            axes.plot(by_size["n_questions"], by_size[value], line, marker="o", markersize=3, color=color, label=label)
            half = by_size[spread].fillna(0.0)
            axes.fill_between(
                by_size["n_questions"],
                by_size[value] - half,
                by_size[value] + half,
                color=color,
                alpha=0.12,
                linewidth=0,
            )
        axes.axvline(chosen.size, color="black", linewidth=0.8, linestyle=":", label=f"chosen: {chosen.size}")
        axes.set(xlabel="questions", ylabel=f"mean r, {of}", title=space)
    nested.legend(frameon=False, fontsize=8)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
