"""Figures of what drives an encoding model: ranked bars with intervals, the redundancy of questions. PNG bytes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qaemb.report.style import BLUE, GREEN, GREY, INK, ORANGE, figure, png, short, titled

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

_ROW = 0.24  # inches for one bar and its name
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
