"""The report's figures: numbers in, PNG bytes out. `draw` makes all that the findings have numbers for.

`draw_scores` writes the figure that goes with each encoding run.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.files import atomic_file
from qaemb.report.brain import cortex_figure
from qaemb.report.data import CortexMap, Findings, Histogram, Interpretation, JobFacts
from qaemb.report.style import BLUE, GREEN, GREY, INK, ORANGE, figure, png

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

_PANEL = 3.6  # inches: two or three stand side by side on a screen, one on a telephone
_ROW = 0.24  # inches for one bar and its name
_BINS = 40  # of the histogram of an encoding run
_LINE = 38  # letters of a name on one line
_NAMED_UP_TO = 60  # questions whose names fit beside the map
_NAMED_CLUSTERS = 14  # of larger maps the largest clusters are named
_LABELS = {
    "unique_r": "loss of r without it",
    "unique_share": "loss of explained variance without it",
    "importance": "replicated size of the weight",
}
_Drawing = tuple[str, Callable[[], bytes]]


def draw(findings: Findings) -> dict[str, bytes]:
    """Return file name -> PNG bytes of every figure that the findings have numbers for, in the order of the page."""
    drawings = list(_drawings(findings))
    return {name: make() for name, make in tqdm(drawings, desc="figures", unit="figure", leave=False)}


def file_name(*parts: str) -> str:
    """Return a file name for a figure; what a file system may not take becomes `-`.

    >>> file_name("importance", "qa/llm", "UTS01")
    'importance_qa-llm_UTS01.png'
    """
    return "_".join(re.sub(r"[^\w.+-]", "-", part) for part in parts) + ".png"


def _drawings(findings: Findings) -> Iterator[_Drawing]:
    for name, scores in findings.scores.groupby("subject", sort=False):
        yield file_name("scores", str(name)), partial(_scores_figure, str(name), scores)
    for selection in findings.selections:
        title = f"{selection.space}: score by number of questions"
        size = len(selection.question_names)
        yield file_name("curve", selection.space), partial(_curve_figure, title, selection.curve, size)
    for job in findings.jobs:
        yield from _drawings_of_answers(job)
    for (model, subject), table in findings.importance.groupby(["model", "subject"], sort=False):
        draw_one = partial(_importance_figure, f"{subject}, {model}", table)
        yield file_name("importance", str(model), str(subject)), draw_one
    for interpretation in findings.interpretations:
        yield from _drawings_of_meaning(interpretation, findings.n_top_questions)
    limit = _limit(findings.maps)
    for one in findings.maps:
        title = f"{one.subject}: r of {findings.map_model}"
        yield file_name("cortex", one.subject), partial(cortex_figure, title, one.voxels, one.r, limit)


def _drawings_of_answers(job: JobFacts) -> Iterator[_Drawing]:
    cells = "share of cells"
    labels = ("margin (nats); above 0 means yes", cells)
    yield file_name("margins", job.job), partial(_histogram_figure, "Margins", labels, job.margins, 0.0)
    rates = Histogram(*np.histogram(job.summary["yes_rate"].dropna(), np.linspace(0, 1, 21)))
    of_questions = ("share of segments answered yes", "share of questions")
    yield file_name("yes_rates", job.job), partial(_histogram_figure, "Yes rates", of_questions, rates)
    if np.count_nonzero(job.masses.counts) > 1:  # a student's mass is 1 by definition
        of_mass = ("P(yes) + P(no)", cells)
        yield file_name("mass", job.job), partial(_histogram_figure, "Mass", of_mass, job.masses)
    grades = job.grades
    if grades is not None and grades["auc"].notna().any():
        title = f"{job.answerer}: AUC per question"
        draw_one = partial(_grades_figure, title, list(grades["name"]), list(grades["auc"]))
        yield file_name("grades", job.job), draw_one


def _drawings_of_meaning(interpretation: Interpretation, n: int) -> Iterator[_Drawing]:
    for subject, table in interpretation.questions.groupby("subject", sort=False):
        title = f"{subject}, {interpretation.model}"
        for kind, measure in (("adds", "unique_r"), ("replicates", "importance")):
            draw_one = partial(bars_figure, title, table, measure, n)
            yield file_name(kind, interpretation.model, str(subject)), draw_one
    title = f"{interpretation.model}: correlation of the questions"
    draw_one = partial(redundancy_figure, title, interpretation.r, interpretation.clusters)
    yield file_name("redundancy", interpretation.model), draw_one


def _limit(maps: tuple[CortexMap, ...]) -> float:
    """Return one colour limit for all subjects: the 99th percentile of |r|, so that no few voxels bleach the rest."""
    values = [np.abs(one.r[np.isfinite(one.r)]) for one in maps]
    together = np.concatenate(values) if values else np.empty(0)
    return max(0.05, float(np.percentile(together, 99))) if together.size else 1.0


def _scores_figure(title: str, scores: pd.DataFrame) -> bytes:
    """Return dots with intervals, a row per encoding model, best on top, and the ceiling as a dashed line.

    `scores`: `model`, `mean_r`, `r_low`, `r_high`, `mean_ceiling` of one subject; NaN where unknown.
    """
    rows = scores.sort_values("mean_r", ascending=True, na_position="first").reset_index(drop=True)
    with figure(_PANEL + 0.6, 1.0 + _ROW * 1.25 * max(len(rows), 2)) as canvas:
        axes = canvas.add_subplot()
        places = np.arange(len(rows))
        axes.hlines(places, rows["r_low"], rows["r_high"], color=BLUE, linewidth=2, alpha=0.55)
        axes.plot(rows["mean_r"], places, "o", color=BLUE, markersize=6)
        ceiling = rows["mean_ceiling"].max()
        if np.isfinite(ceiling):
            axes.axvline(ceiling, color=ORANGE, linestyle="--", linewidth=1.2)
            axes.text(ceiling, len(rows) - 0.35, "ceiling ", color=ORANGE, fontsize=8, ha="right", va="bottom")
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(places, [_short(name, 28) for name in rows["model"]])
        axes.set_ylim(-0.6, len(rows) - 0.1)
        axes.set_xlabel("mean r over voxels, test stories")
        axes.grid(axis="x", color=GREY, alpha=0.25)
        return png(canvas, title, 40)


def _curve_figure(title: str, curve: pd.DataFrame, set_size: int) -> bytes:
    """Return the mean score over the number of questions: the methods' paths against controls.

    `curve`: `method` (a name of the selection's methods), `n_questions`, `r` and optionally `r_low`, `r_high`.
    `set_size` is the size to mark, 0 where no set was chosen.
    """
    looks = {
        "elastic_net": (BLUE, "elastic net", "o-"),
        "stability": (INK, "stability selection", "d-"),
        "greedy": (GREEN, "greedy", "^-"),
        "random": (GREY, "random questions", "s--"),
        "most_frequent": (GREY, "most frequent answers yes", "v:"),
    }
    with figure(6.4, 3.6) as canvas:
        axes = canvas.add_subplot()
        for method, part in curve.sort_values("n_questions").groupby("method", sort=False):
            colour, label, marker = looks.get(str(method), (GREEN, str(method), "^-"))
            sizes = part["n_questions"].to_numpy(float)
            axes.plot(sizes, part["r"], marker, color=colour, label=label, markersize=4, linewidth=1.6)
            if {"r_low", "r_high"} <= set(part) and part["r_low"].notna().any():
                axes.fill_between(sizes, part["r_low"], part["r_high"], color=colour, alpha=0.18, linewidth=0)
        if set_size:
            axes.axvline(set_size, color=ORANGE, linestyle=":", linewidth=1.4, label=f"chosen: {set_size}")
        axes.set_xlabel("questions in the set")
        axes.set_ylabel("mean r, test stories")
        axes.grid(color=GREY, alpha=0.25)
        axes.legend(loc="best")
        return png(canvas, title, 70)


def _histogram_figure(title: str, labels: tuple[str, str], histogram: Histogram, mark: float | None = None) -> bytes:
    """Return a histogram with its axes' `labels` (x, y), and a dashed line at `mark` if there is one."""
    with figure(_PANEL, 2.3) as canvas:
        axes = canvas.add_subplot()
        edges, shares = histogram.edges, histogram.counts / max(histogram.counts.sum(), 1)
        axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=BLUE, alpha=0.85, linewidth=0)
        if mark is not None:
            axes.axvline(mark, color=ORANGE, linestyle="--", linewidth=1.2)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return png(canvas, title, 44)


def _grades_figure(title: str, names: Sequence[str], auc: Sequence[float]) -> bytes:
    """Return a bar per question from the chance line at 0.5 to its AUC, best on top; NaN AUCs are left out."""
    graded = sorted((value, name) for name, value in zip(names, auc, strict=True) if np.isfinite(value))
    with figure(_PANEL + 0.6, 1.1 + 0.2 * max(len(graded), 3)) as canvas:
        axes = canvas.add_subplot()
        values = np.array([value for value, _ in graded])
        colours = [BLUE if value >= 0.5 else ORANGE for value in values]
        axes.barh(np.arange(len(graded)), values - 0.5, left=0.5, color=colours, height=0.72)
        axes.axvline(0.5, color=INK, linewidth=1)
        axes.text(0.5, len(graded) - 0.4, "chance", fontsize=8, color=INK, ha="center", va="bottom")
        axes.set_yticks(np.arange(len(graded)), [_short(name, 28) for _, name in graded])
        axes.tick_params(axis="y", labelsize=7.5)
        axes.set_ylim(-0.7, len(graded) + 0.3)
        axes.set_xlim(min(0.3, values.min(initial=0.5) - 0.02), 1.0)
        axes.set_xlabel("AUC against gold")
        return png(canvas, title, 42)


def _importance_figure(title: str, table: pd.DataFrame) -> bytes:
    """Return a bar per question, in the table's order from the top: green raises responses on average, orange lowers.

    `table`: `name`, `importance`, `signed` (mean weight).
    """
    with figure(_PANEL + 0.4, 1.0 + _ROW * max(len(table), 3)) as canvas:
        axes = canvas.add_subplot()
        places = np.arange(len(table))[::-1]
        colours = [GREEN if signed >= 0 else ORANGE for signed in table["signed"]]
        axes.barh(places, table["importance"], color=colours, height=0.72)
        axes.set_yticks(places, [_short(name, 28) for name in table["name"]])
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.set_xlim(0, 1.04)
        axes.set_xlabel("importance, the highest = 1")
        return png(canvas, title, 40)


def draw_scores(path: Path, title: str, r: NDArray[np.float64], ceiling: NDArray[np.float64]) -> None:
    """Write a PNG: the distribution of r over voxels and, where there are noise ceilings, theirs and r against them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    both = np.isfinite(r) & np.isfinite(ceiling)
    figure = Figure(figsize=(9 if both.any() else 4.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if both.any() else 1, squeeze=False)[0]
    finite = r[np.isfinite(r)]
    bins = np.linspace(min(finite.min(), 0.0), max(finite.max(), ceiling[both].max() if both.any() else 0.0), _BINS)
    axes[0].hist(finite, bins=bins, color="#1b6ca8", label="model")
    axes[0].axvline(finite.mean(), color="black", linewidth=1, label=f"mean r {finite.mean():.3f}")
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


def bars_figure(title: str, table: pd.DataFrame, measure: str, n: int) -> bytes:
    """Return the `n` questions with the highest `measure`, a bar each with its 95 % interval, the highest on top.

    `table`: `question`, `weight` (its sign colours the bar: green raises responses, orange lowers), and the measure
    with `_low` and `_high`. A bar is pale where the interval holds 0.
    """
    top = table.nlargest(n, measure).iloc[::-1]
    names = [_two_lines(name) for name in top["question"]]
    row = _ROW * (1.25 if any("\n" in name for name in names) else 1.0)
    with figure(4.8, 1.0 + row * max(len(top), 3)) as canvas:
        axes = canvas.add_subplot()
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
        return png(canvas, title, 48)


def redundancy_figure(title: str, r: np.ndarray, clusters: pd.DataFrame) -> bytes:
    """Return the correlations of the questions as a map, clusters of two or more framed.

    `r` (n, n) and `clusters` (`question`, `cluster`, `representative`) are both in the dendrogram's order. Grey: a
    question that never varies.
    """
    n = len(clusters)
    has_names = n <= _NAMED_UP_TO
    side = 3.2 + (0.115 * n if has_names else 2.8)
    with figure(side + (1.2 if has_names else 2.6), side) as canvas:
        axes = canvas.add_subplot()
        axes.set_facecolor(GREY)
        image = axes.imshow(np.ma.masked_invalid(r), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        starts = _spans(clusters)
        for first, last in starts:
            axes.add_patch(_frame(first, last))
        if has_names:
            axes.set_yticks(np.arange(n), [_short(name, 30) for name in clusters["question"]], fontsize=6.5)
        else:
            largest = _apart(sorted(starts, key=lambda span: span[0] - span[1]), n / _NAMED_UP_TO)[:_NAMED_CLUSTERS]
            names = [f"{_short(clusters['representative'].iloc[a], 36)} ({b - a + 1})" for a, b in largest]
            axes.set_yticks([(a + b) / 2 for a, b in largest], names, fontsize=6.5)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        canvas.colorbar(image, ax=axes, shrink=0.6, label="r over train rows")
        return png(canvas, title, 60)


def _two_lines(name: str) -> str:
    """Return a name that fits beside a bar: a question's text on two lines, cut in its middle where it is longer."""
    return "\n".join(textwrap.wrap(_short(name, 2 * _LINE - 8), _LINE))


def _spans(clusters: pd.DataFrame) -> list[tuple[int, int]]:
    """Return first and last place of each cluster of two or more; its members stand side by side in the dendrogram."""
    places = pd.Series(np.arange(len(clusters))).groupby(clusters["cluster"].to_numpy())
    return [(int(first), int(last)) for first, last in zip(places.min(), places.max(), strict=True) if last > first]


def _apart(spans: list[tuple[int, int]], rows: float) -> list[tuple[int, int]]:
    """Return the spans, in their order, whose middles are at least 1.5 `rows` from those before, so names fit."""
    apart: list[tuple[int, int]] = []
    for first, last in spans:
        if all(abs(first + last - a - b) >= 3 * rows for a, b in apart):
            apart.append((first, last))
    return apart


def _frame(first: int, last: int) -> Rectangle:
    from matplotlib.patches import Rectangle

    size = last - first + 1
    return Rectangle((first - 0.5, first - 0.5), size, size, fill=False, edgecolor=BLUE, linewidth=0.9)


def _short(name: str, width: int = 34) -> str:
    """Return a name that fits beside a bar: an overlong one keeps its start and its end.

    >>> _short("a_very_long_question_name", 12)
    'a_very…_name'
    """
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[-end:]}"
