"""Figures of scores, answers, grades, importance and selection: numbers in, PNG bytes out.

The figure that goes with each encoding run.

Figures of what drives an encoding model: ranked bars with intervals, the redundancy of questions. PNG bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.files import atomic_file
from qaemb.report.data import Histogram
from qaemb.report.style import BLUE, GREEN, GREY, INK, ORANGE, figure, png, short, titled

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

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


_BINS = 40


def draw_scores(path: Path, title: str, r: NDArray[np.float64], ceiling: NDArray[np.float64]) -> None:
    """Write a PNG: the distribution of r over voxels and, where ceilings are known, theirs and r against them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    both = np.isfinite(r) & np.isfinite(ceiling)
    figure = Figure(figsize=(9 if both.any() else 4.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if both.any() else 1, squeeze=False)[0]
    known = r[np.isfinite(r)]
    bins = np.linspace(min(known.min(), 0.0), max(known.max(), ceiling[both].max() if both.any() else 0.0), _BINS)
    axes[0].hist(known, bins=bins, color="#1b6ca8", label="model")
    axes[0].axvline(known.mean(), color="black", linewidth=1, label=f"mean r {known.mean():.3f}")
    axes[0].set(xlabel="r on the test stories", ylabel="voxels", title=title)
    if both.any():
        axes[0].hist(ceiling[both], bins=bins, histtype="step", color="#c1440e", label="noise ceiling")
        top = float(bins[-1])
        axes[1].plot(ceiling[both], r[both], ".", markersize=3, alpha=0.5, color="#1b6ca8")
        axes[1].plot([0, top], [0, top], color="#c1440e", linewidth=1, label="r = ceiling")
        axes[1].set(xlabel="noise ceiling", ylabel="r on the test stories")
        axes[1].legend(frameon=False)
    axes[0].legend(frameon=False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


_LINE = 38  # letters of a name on one line
_NAMED_UP_TO = 60  # questions whose names fit beside the map
_LABELS = {
    "unique_r": "loss of r without it",
    "unique_share": "loss of explained variance without it",
    "importance": "replicated size of the weight",
}
_NAMED_CLUSTERS = 14  # of larger maps the largest clusters are named


def bars_figure(title: str, table: pd.DataFrame, measure: str, n: int) -> bytes:
    """Return the `n` questions with the highest `measure`, a bar each with its 95 % interval, the highest on top.

    `table`: `question`, `weight` (its sign colours the bar: green raises responses, orange lowers), and the measure
    with `_low` and `_high`. A bar is pale where the interval holds 0.
    """
    top = table.nlargest(n, measure).iloc[::-1]
    names = [_two_lines(name) for name in top["question"]]
    row = _ROW * (1.25 if any("\n" in name for name in names) else 1.0)
    with figure(4.8, 1.0 + row * max(len(top), 3)) as made:
        axes = made.add_subplot()
        places = np.arange(len(top))
        value, low, high = (
            top[column].to_numpy(np.float64) for column in (measure, f"{measure}_low", f"{measure}_high")
        )
        colours = [GREEN if weight >= 0 else ORANGE for weight in top["weight"]]
        bars = axes.barh(places, value, color=colours, height=0.72)
        for bar, holds_zero in zip(bars, (low <= 0) & (high >= 0), strict=True):
            bar.set_alpha(0.35 if holds_zero else 1.0)
        axes.hlines(places, low, high, color=INK, linewidth=1.1)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(places, names, fontsize=7)
        axes.set_ylim(-0.7, len(top) - 0.3)
        axes.set_xlabel(_LABELS[measure])
        titled(made, title, 48)
        return png(made)


def redundancy_figure(title: str, r: np.ndarray, clusters: pd.DataFrame) -> bytes:
    """Return the correlations of the questions as a map, clusters of two or more framed.

    `r` (n, n) and `clusters` (`question`, `cluster`, `representative`) are both in the dendrogram's order. Grey: a
    question that never varies.
    """
    n = len(clusters)
    named = n <= _NAMED_UP_TO
    side = 3.2 + (0.115 * n if named else 2.8)
    with figure(side + (1.2 if named else 2.6), side) as made:
        axes = made.add_subplot()
        axes.set_facecolor(GREY)
        image = axes.imshow(np.ma.masked_invalid(r), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        starts = _spans(clusters)
        for first, last in starts:
            axes.add_patch(_frame(first, last))
        if named:
            axes.set_yticks(np.arange(n), [short(name, 30) for name in clusters["question"]], fontsize=6.5)
        else:
            largest = _apart(sorted(starts, key=lambda span: span[0] - span[1]), n / _NAMED_UP_TO)[:_NAMED_CLUSTERS]
            names = [f"{short(clusters['representative'].iloc[a], 36)} ({b - a + 1})" for a, b in largest]
            axes.set_yticks([(a + b) / 2 for a, b in largest], names, fontsize=6.5)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        made.colorbar(image, ax=axes, shrink=0.6, label="r over train rows")
        titled(made, title, 60)
        return png(made)


def _two_lines(name: str) -> str:
    """Return a name that fits beside a bar: a question's text on two lines, cut in its middle where it is longer."""
    return "\n".join(textwrap.wrap(short(name, 2 * _LINE - 8), _LINE))


def _spans(clusters: pd.DataFrame) -> list[tuple[int, int]]:
    """Return first and last place of each cluster of two or more; its members stand side by side in the dendrogram."""
    places = pd.Series(np.arange(len(clusters))).groupby(clusters["cluster"].to_numpy())
    return [(int(first), int(last)) for first, last in zip(places.min(), places.max(), strict=True) if last > first]


def _apart(spans: list[tuple[int, int]], rows: float) -> list[tuple[int, int]]:
    """Return the spans, in their order, whose middles are at least 1.5 `rows` from those before, so names fit."""
    kept: list[tuple[int, int]] = []
    for first, last in spans:
        if all(abs(first + last - a - b) >= 3 * rows for a, b in kept):
            kept.append((first, last))
    return kept


def _frame(first: int, last: int) -> Rectangle:
    from matplotlib.patches import Rectangle

    size = last - first + 1
    return Rectangle((first - 0.5, first - 0.5), size, size, fill=False, edgecolor=BLUE, linewidth=0.9)
