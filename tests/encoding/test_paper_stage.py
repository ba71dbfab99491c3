"""The stage under protocol `paper`: files, what is absent, and the mean over answerers that is not z-scored again."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.encoding.jackknife import confidence, paired_difference
from qaemb.encoding.results import read_jackknife, read_predictions
from qaemb.errors import BadInput
from qaemb.features.space import Space, write_space
from qaemb.files import read_json
from qaemb.settings import Settings
from qaemb.stages.encode import encode
from qaemb.workspace import Workspace

PAPER = {"protocol": "paper", "delays": [1, 2], "n_components": 12, "chunk_trs": 10, "n_chunks": 6}
SPACES = {"qa": ["qa"], "junk": ["junk"]}


@pytest.fixture(scope="module")
def encoded(world) -> Workspace:
    for name in SPACES:
        encode(world.settings(spaces=SPACES, voxel_block=16, **PAPER), world.workspace, name)
    return world.workspace


def test_files_hold_what_the_paper_has_and_nan_for_the_rest(encoded, world):
    folder = encoded.encoding("qa")
    table = pd.read_parquet(folder / "scores.parquet")
    assert list(table.columns) == ["subject", "voxel", "r", "r_x", "r_y", "ceiling", "cc_norm", "p", "q", "alpha"]
    assert table["r"].notna().all()
    assert table[["ceiling", "cc_norm", "p", "q", "alpha"]].isna().all(axis=None)
    components = pd.read_parquet(folder / "components.parquet")
    assert components.groupby("subject", sort=False).size().to_dict() == {"S1": 12, "S2": 12}
    assert set(components["alpha"]) <= set(np.logspace(0, 4, 5))
    assert (components.groupby("subject")["share_of_variance"].sum() < 1).all()
    rows = read_json(folder / "model.json")["test_rows"]["S2"]
    predicted = read_predictions(folder, "S2", rows)
    measured = np.vstack([_responses(world, "S2", story) for story in rows])
    r = [np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)]
    np.testing.assert_allclose(table.query("subject == 'S2'")["r"], r, atol=1e-5)


def test_model_says_how_it_was_fitted_and_metrics_what_came_out(encoded, world, capsys):
    model = read_json(encoded.encoding("qa") / "model.json")
    own = {key: model[key] for key in ("protocol", "n_components", "n_bootstraps", "chunk_trs", "n_chunks")}
    assert own == {"protocol": "paper", "n_components": 12, "n_bootstraps": 5, "chunk_trs": 10, "n_chunks": 6}
    assert "n_folds" not in model
    metrics = read_json(encoded.metrics("encode", "qa"))["S1"]
    table = pd.read_parquet(encoded.encoding("qa") / "scores.parquet").query("subject == 'S1'")
    assert metrics["mean_r"] == pytest.approx(table["r"].mean())
    assert metrics["r_low"] < metrics["mean_r"] < metrics["r_high"]
    encode(world.settings(spaces=SPACES, voxel_block=16, **PAPER), world.workspace, "qa")
    assert "of the voxels above 0, top 1 %" in capsys.readouterr().out


def test_models_of_the_same_protocol_can_be_paired_and_of_others_not(encoded, world):
    qa, junk = (read_jackknife(encoded.encoding(name), "S1") for name in SPACES)
    assert confidence(paired_difference(qa, junk)).low > 0
    encode(world.settings(spaces=SPACES), world.workspace, "junk")
    with pytest.raises(BadInput, match="can only be paired"):
        paired_difference(qa, read_jackknife(encoded.encoding("junk"), "S1"))


def test_a_mean_over_answerers_is_not_z_scored_again(encoded, world):
    """A question that answerers disagree on varies less, and must stay so: its weights grow, or are held back."""
    spread = np.array([1, 1, 1, 1, 1, 0.1], dtype=np.float32)
    scaled = {story: own * spread for story, own in world.space.values.items()}
    write_space(encoded.features("mean") / "features.parquet", Space(world.space.names, scaled))
    size = {}
    for kind, extra in {"word_rate": {}, "qa": {"jobs": ["llm_tr", "student_words10"]}}.items():
        values = world.settings(spaces={}, **PAPER).model_dump(by_alias=True, mode="json")
        values["features"]["spaces"] = {"mean": {"kind": kind, "input": "x", **extra}}
        values["encode"]["spaces"] = {"mean": ["mean"]}
        encode(Settings.model_validate(values), encoded, "mean")
        size[kind] = np.abs(np.load(encoded.encoding("mean") / "weights_S1.npy")).mean(axis=(0, 2))
    assert size["qa"][5] > 3 * size["word_rate"][5]
    np.testing.assert_allclose(size["qa"][:5], size["word_rate"][:5], rtol=0.3)


def _responses(world, subject: str, story: str) -> np.ndarray:
    with h5py.File(world.responses / f"{subject}.h5") as file:
        return file["data"][story][:]
