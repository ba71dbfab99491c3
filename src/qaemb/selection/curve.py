"""The tables and the figure of a selection: every point of the path, and the score by number of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from qaemb.files import atomic_file
from qaemb.selection.methods import Subset
from qaemb.selection.scoring import SubsetScores

_COLORS = ("#1b6ca8", "#c1440e", "#3a7d44", "#7a4fa3", "#8a6d3b", "#444444")


def path_table(subsets: Sequence[Subset], scores: Mapping[str, SubsetScores], names: Sequence[str]) -> pd.DataFrame:
    """Return path.parquet: a row per subject and subset, with its questions' names and its test r."""
    return pd.DataFrame(
        [
            {
                "subject": subject,
                "method": subset.method,
                "repeat": subset.repeat,
                "alpha": subset.alpha,
                "n_questions": len(subset.features),
                "questions": [names[i] for i in subset.features],
                "r": float(own.test[i]),
            }
            for subject, own in scores.items()
            for i, subset in enumerate(subsets)
        ]
    )


def curve_table(path: pd.DataFrame) -> pd.DataFrame:
    """Return curve.csv: method, n_questions, subject, over repeats mean `r` and `sd`, their number."""
    groups = path.groupby(["method", "n_questions", "subject"], sort=False)["r"]
    return groups.agg(r="mean", sd="std", repeats="size").reset_index()


def draw_curve(path: Path, curve: pd.DataFrame, title: str, chosen: int) -> None:
    """Write a PNG: r by number of questions, a colour per subject, random subsets dashed with a band of one sd."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (subject, own) in enumerate(curve.groupby("subject", sort=False)):
        color = _COLORS[number % len(_COLORS)]
        for method, line in (("elastic_net", "-"), ("random", "--")):
            points = own[own["method"] == method].sort_values("n_questions")
            label = f"{subject}, {method.replace('_', ' ')}"
            axes.plot(points["n_questions"], points["r"], line, marker="o", markersize=3, color=color, label=label)
            spread = points["sd"].fillna(0.0)
            axes.fill_between(
                points["n_questions"], points["r"] - spread, points["r"] + spread, color=color, alpha=0.12, linewidth=0
            )
    axes.axvline(chosen, color="black", linewidth=0.8, linestyle=":", label=f"chosen on train: {chosen}")
    axes.set(xlabel="questions", ylabel="mean r on the test stories", title=title)
    axes.legend(frameon=False, fontsize=8)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
