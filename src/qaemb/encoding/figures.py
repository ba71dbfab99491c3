"""The figure that goes with each encoding run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.files import atomic_file

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
