"""The reliability diagram: how often the answer was yes where an answerer said so with some probability."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qaemb.files import atomic_file


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
