from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from qaemb.errors import BadInput
from qaemb.report.brain import N_VERTICES, _vertex_values, cortex_figure


def _voxels(hemi: list[str], vertex: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"voxel": range(len(hemi)), "hemi": hemi, "vertex": vertex})


def test_a_vertex_has_the_mean_of_its_voxels_and_nan_voxels_do_not_count():
    voxels = _voxels(["left", "left", "left", "left", "right"], [7, 7, 7, 9, 7])
    values = _vertex_values(voxels, np.array([0.2, 0.4, np.nan, np.nan, 0.9]), "left")
    assert values.shape == (N_VERTICES,)
    assert values[7] == pytest.approx(0.3)
    assert np.flatnonzero(np.isfinite(values)).tolist() == [7]


def test_a_hemisphere_without_voxels_is_empty():
    assert np.isnan(_vertex_values(_voxels(["left"], [1]), np.array([0.5]), "right")).all()


def test_a_vertex_that_fsaverage5_does_not_have_is_named():
    with pytest.raises(BadInput, match="vertex 10242 is not one of fsaverage5's 10242"):
        _vertex_values(_voxels(["left"], [10_242]), np.array([0.5]), "left")


def test_a_voxel_without_a_score_is_named():
    with pytest.raises(BadInput, match="voxel 1 has no score; there are 1"):
        _vertex_values(_voxels(["left", "left"], [1, 2]), np.array([0.5]), "left")


def test_scores_appear_on_their_own_hemisphere():
    everywhere = _voxels(["left"] * N_VERTICES, list(range(N_VERTICES)))
    content = cortex_figure("UTS01", everywhere, np.full(N_VERTICES, 0.5), 0.5)
    assert content == cortex_figure("UTS01", everywhere, np.full(N_VERTICES, 0.5), 0.5)
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    brains = pixels[:, : int(0.85 * pixels.shape[1])]
    red = brains[..., 0] - brains[..., 1] > 60
    half = int(0.43 * pixels.shape[1])
    assert red[:, :half].mean() > 0.2
    assert red[:, half:].mean() < 0.02
