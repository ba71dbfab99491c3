"""Figures of scores, answers, grades, importance and selection: numbers in, PNG bytes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qaemb.report.data import Histogram
from qaemb.report.style import BLUE, GREEN, GREY, INK, ORANGE, figure, png, short, titled

_PANEL = 3.6  # inches: two or three stand side by side on a screen, one on a telephone
_ROW = 0.24  # inches for one bar and its name


def scores_figure(title: str, scores: pd.DataFrame) -> bytes:
    """Return dots with intervals, a row per encoding model, best on top, and the ceiling as a dashed line.

    `scores`: `model`, `mean_r`, `r_low`, `r_high`, `mean_ceiling` of one subject; NaN where unknown.
    """
    rows = scores.sort_values("mean_r", ascending=True, na_position="first").reset_index(drop=True)
    with figure(_PANEL + 0.6, 1.0 + _ROW * 1.25 * max(len(rows), 2)) as made:
        axes = made.add_subplot()
        places = np.arange(len(rows))
        axes.hlines(places, rows["r_low"], rows["r_high"], color=BLUE, linewidth=2, alpha=0.55)
        axes.plot(rows["mean_r"], places, "o", color=BLUE, markersize=6)
        ceiling = rows["mean_ceiling"].max()
        if np.isfinite(ceiling):
            axes.axvline(ceiling, color=ORANGE, linestyle="--", linewidth=1.2)
            axes.text(ceiling, len(rows) - 0.35, "ceiling ", color=ORANGE, fontsize=8, ha="right", va="bottom")
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(places, [short(name, 28) for name in rows["model"]])
        axes.set_ylim(-0.6, len(rows) - 0.1)
        axes.set_xlabel("mean r over voxels, test stories")
        titled(made, title, 40)
        axes.grid(axis="x", color=GREY, alpha=0.25)
        return png(made)


def curve_figure(title: str, curve: pd.DataFrame, chosen: int) -> bytes:
    """Return the mean score over the number of questions: the methods' paths against controls.

    `curve`: `method` (a name of the selection's methods), `n_questions`, `r` and optionally `r_low`, `r_high`.
    `chosen` is the size to mark, 0 where no set was chosen.
    """
    looks = {
        "elastic_net": (BLUE, "elastic net", "o-"),
        "stability": (INK, "stability selection", "d-"),
        "greedy": (GREEN, "greedy", "^-"),
        "random": (GREY, "random questions", "s--"),
        "most_frequent": (GREY, "most frequent answers yes", "v:"),
    }
    with figure(6.4, 3.6) as made:
        axes = made.add_subplot()
        for method, part in curve.sort_values("n_questions").groupby("method", sort=False):
            colour, label, marker = looks.get(str(method), (GREEN, str(method), "^-"))
            sizes = part["n_questions"].to_numpy(float)
            axes.plot(sizes, part["r"], marker, color=colour, label=label, markersize=4, linewidth=1.6)
            if {"r_low", "r_high"} <= set(part) and part["r_low"].notna().any():
                axes.fill_between(sizes, part["r_low"], part["r_high"], color=colour, alpha=0.18, linewidth=0)
        if chosen:
            axes.axvline(chosen, color=ORANGE, linestyle=":", linewidth=1.4, label=f"chosen: {chosen}")
        axes.set_xlabel("questions in the set")
        axes.set_ylabel("mean r, test stories")
        titled(made, title, 70)
        axes.grid(color=GREY, alpha=0.25)
        axes.legend(loc="best")
        return png(made)


def histogram_figure(title: str, labels: tuple[str, str], histogram: Histogram, mark: float | None = None) -> bytes:
    """Return a histogram with its axes' `labels` (x, y), and a dashed line at `mark` if there is one."""
    with figure(_PANEL, 2.3) as made:
        axes = made.add_subplot()
        edges, shares = histogram.edges, histogram.counts / max(histogram.counts.sum(), 1)
        axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=BLUE, alpha=0.85, linewidth=0)
        if mark is not None:
            axes.axvline(mark, color=ORANGE, linestyle="--", linewidth=1.2)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        titled(made, title, 44)
        return png(made)


def grades_figure(title: str, names: Sequence[str], auc: Sequence[float]) -> bytes:
    """Return a bar per question from the chance line at 0.5 to its AUC, best on top; NaN AUCs are left out."""
    known = sorted((value, name) for name, value in zip(names, auc, strict=True) if np.isfinite(value))
    with figure(_PANEL + 0.6, 1.1 + 0.2 * max(len(known), 3)) as made:
        axes = made.add_subplot()
        values = np.array([value for value, _ in known])
        colours = [BLUE if value >= 0.5 else ORANGE for value in values]
        axes.barh(np.arange(len(known)), values - 0.5, left=0.5, color=colours, height=0.72)
        axes.axvline(0.5, color=INK, linewidth=1)
        axes.text(0.5, len(known) - 0.4, "chance", fontsize=8, color=INK, ha="center", va="bottom")
        axes.set_yticks(np.arange(len(known)), [short(name, 28) for _, name in known])
        axes.tick_params(axis="y", labelsize=7.5)
        axes.set_ylim(-0.7, len(known) + 0.3)
        axes.set_xlim(min(0.3, values.min(initial=0.5) - 0.02), 1.0)
        axes.set_xlabel("AUC against gold")
        titled(made, title, 42)
        return png(made)


def importance_figure(title: str, table: pd.DataFrame) -> bytes:
    """Return a bar per question, in the table's order from the top: green raises responses on average, orange lowers.

    `table`: `name`, `importance`, `signed` (mean weight).
    """
    with figure(_PANEL + 0.4, 1.0 + _ROW * max(len(table), 3)) as made:
        axes = made.add_subplot()
        places = np.arange(len(table))[::-1]
        colours = [GREEN if signed >= 0 else ORANGE for signed in table["signed"]]
        axes.barh(places, table["importance"], color=colours, height=0.72)
        axes.set_yticks(places, [short(name, 28) for name in table["name"]])
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.set_xlim(0, 1.04)
        axes.set_xlabel("importance, the highest = 1")
        titled(made, title, 40)
        return png(made)
