"""Scores on the cortex: voxel values at fsaverage5 vertices, four inflated views, as PNG bytes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qaemb.errors import BadInput
from qaemb.report.style import figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_VERTICES = 10_242  # of one hemisphere of fsaverage5
_COLOURS = "RdBu_r"
_VIEWS = [("left", "lateral"), ("right", "lateral"), ("left", "medial"), ("right", "medial")]


def _vertex_values(voxels: pd.DataFrame, values: np.ndarray, hemi: str) -> np.ndarray:
    """Return the mean value of the voxels at each vertex of a hemisphere, NaN where there is none, float64 (10242,).

    `voxels`: `voxel` (position in `values`), `hemi`, `vertex`, of one subject. A voxel whose value is NaN counts as
    absent. Raises BadInput for a voxel without a value and a vertex that fsaverage5 does not have.
    """
    here = voxels[voxels["hemi"] == hemi]
    voxel, vertex = here["voxel"].to_numpy(np.int64), here["vertex"].to_numpy(np.int64)
    if len(here) and (voxel.min() < 0 or voxel.max() >= len(values)):
        raise BadInput(f"voxels.parquet: voxel {voxel.max()} has no score; there are {len(values)}")
    if len(here) and (vertex.min() < 0 or vertex.max() >= N_VERTICES):
        raise BadInput(f"voxels.parquet: vertex {vertex.max()} is not one of fsaverage5's {N_VERTICES}")
    finite = np.isfinite(values[voxel])
    sums = np.bincount(vertex[finite], weights=values[voxel[finite]], minlength=N_VERTICES)
    counts = np.bincount(vertex[finite], minlength=N_VERTICES)
    return np.divide(sums, counts, out=np.full(N_VERTICES, np.nan), where=counts > 0)


def cortex_figure(
    title: str, voxels: pd.DataFrame, values: np.ndarray, limit: float, label: str = "r, test stories"
) -> bytes:
    """Return four inflated views of one subject's values; colours run from -`limit` to `limit`, grey is no voxel.

    `label` stands beside the colours.
    """
    with figure(5.0, 4.0) as canvas:
        canvas.set_layout_engine("none")
        for place, (hemi, view) in enumerate(_VIEWS):
            left, bottom = 0.43 * (place % 2) - 0.05, 0.45 * (1 - place // 2) - 0.08
            axes = canvas.add_axes((left, bottom, 0.52, 0.62), projection="3d")
            axes.patch.set_alpha(0)  # neighbours overlap, so that the brains fill their quarters
            _draw(canvas, axes, _vertex_values(voxels, values, hemi), (hemi, view, limit))
        _colour_bar(canvas, limit, label)
        return png(canvas, title, 56)


def _draw(canvas: Figure, axes: object, values: np.ndarray, view: tuple[str, str, float]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")  # nilearn imports pyplot, which would look for a screen
    from nilearn import datasets, plotting, surface

    hemi, side, limit = view
    mesh = datasets.fetch_surf_fsaverage("fsaverage5")  # comes with nilearn; nothing is downloaded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means over faces without a voxel
        plotting.plot_surf_stat_map(
            mesh[f"infl_{hemi}"],
            values,
            hemi=hemi,
            view=side,
            bg_map=_background(surface.load_surf_data(mesh[f"sulc_{hemi}"])),
            avg_method="nanmean",  # a face shows the voxels at its corners, however few
            cmap=_COLOURS,
            vmin=-limit,
            vmax=limit,
            colorbar=False,
            axes=axes,
            figure=canvas,
        )


def _background(depth: np.ndarray) -> np.ndarray:
    """Return two light greys, sulci the darker: folds stay visible, and no score is mistaken for one."""
    return np.where(depth > 0, 0.38, 0.18)


def _colour_bar(canvas: Figure, limit: float, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = canvas.add_axes((0.87, 0.28, 0.02, 0.4))
    canvas.colorbar(ScalarMappable(Normalize(-limit, limit), _COLOURS), cax=axes, label=label)
