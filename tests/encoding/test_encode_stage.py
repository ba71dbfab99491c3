"""The stage on the planted world: files, numbers, runs, and what a failure leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qaemb.encoding.fit import _fit_blocks, fit_voxels
from qaemb.encoding.jackknife import confidence, paired_difference
from qaemb.encoding.metrics import summarise
from qaemb.encoding.plan import plan_fit
from qaemb.encoding.recording import open_recordings
from qaemb.encoding.results import read_jackknife, read_predictions
from qaemb.encoding.solvers import open_solver, plain_solver
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json
from qaemb.stages.encode import encode
from qaemb.workspace import Workspace

SPACES = {"qa": ["qa"], "junk": ["junk"], "both": ["qa", "junk"]}


@pytest.fixture(scope="module")
def encoded(world) -> Workspace:
    for name in SPACES:
        encode(world.settings(spaces=SPACES, voxel_block=16), world.workspace, name)
    return world.workspace


def test_scores_have_the_columns_of_the_contract(encoded, world):
    table = pd.read_parquet(encoded.encoding("qa") / "scores.parquet")
    assert list(table.columns) == [
        "subject",
        "voxel",
        "r",
        "r_x",
        "r_y",
        "ceiling_x",
        "ceiling",
        "cc_norm",
        "p",
        "q",
        "alpha",
    ]
    assert table.groupby("subject", sort=False).size().to_dict() == {"S1": 30, "S2": 30}
    np.testing.assert_allclose(table["r"], (table["r_x"] + table["r_y"]) / 2)
    blank = table[table["r"].isna()]
    assert blank["voxel"].tolist() == [world.nan_voxel, world.flat_voxel] * 2
    assert blank[["r_x", "r_y", "ceiling", "cc_norm", "p", "q", "alpha"]].isna().all(axis=None)


def test_cc_norm_p_and_q_of_a_voxel(encoded, world):
    from scipy import stats

    table = pd.read_parquet(encoded.encoding("qa") / "scores.parquet")
    known = table["cc_norm"].notna()
    # Only x has repeats, so the share is of r_x.
    np.testing.assert_allclose(table["cc_norm"][known], (table["r_x"] / table["ceiling_x"])[known])
    metrics = read_json(encoded.metrics("encode", "qa"))
    for subject, own in table.groupby("subject"):
        assert own["cc_norm"].notna().sum() == metrics[subject]["n_reliable"]
        assert own["cc_norm"].mean() == pytest.approx(metrics[subject]["mean_cc_norm"])
        scored = own[own["p"].notna()]
        np.testing.assert_allclose(scored["q"], stats.false_discovery_control(scored["p"]))
        assert (own["q"] < 0.05).sum() == metrics[subject]["n_significant"] >= 18
    noise = table["voxel"].between(world.noise_voxels.start, world.noise_voxels.stop - 1)
    assert (table.loc[noise, "q"] < 0.05).mean() <= 0.15


def test_predictions_are_stored_with_their_rows(encoded, world):
    rows = read_json(encoded.encoding("qa") / "model.json")["test_rows"]
    assert rows == {"S1": {"x": 80, "y": 60}, "S2": {"x": 80, "y": 60}}
    predicted = read_predictions(encoded.encoding("qa"), "S1", rows["S1"])
    assert (predicted.shape, predicted.dtype) == ((140, 30), np.float32)
    assert np.flatnonzero(np.isnan(predicted).any(axis=0)).tolist() == [world.nan_voxel, world.flat_voxel]
    with pytest.raises(BadInput, match=r"predictions_S1.npy has the shape \(140, 30\), not 80 rows"):
        read_predictions(encoded.encoding("qa"), "S1", {"x": 80})
    with pytest.raises(BadInput, match=r"predictions_S9.npy can't be read"):
        read_predictions(encoded.encoding("qa"), "S9", rows["S1"])


def test_what_was_found_is_printed(encoded, world, capsys):
    encode(world.settings(spaces=SPACES, voxel_block=16), world.workspace, "qa")
    lines = capsys.readouterr().out.splitlines()
    own = read_json(encoded.metrics("encode", "qa"))["S2"]
    assert lines[0] == "encode qa"
    assert lines[2] == (
        f"  S2: r {own['mean_r']:.4f} ({own['r_low']:.4f} to {own['r_high']:.4f}), {own['n_significant']} of 30 voxels "
        f"above chance (q < 0.05), CC_norm {own['mean_cc_norm']:.3f} over {own['n_reliable']} reliable voxels"
    )


def test_weights_predict_the_scores(encoded, world):
    from qaemb.encoding.scores import correlation

    weights = np.load(encoded.encoding("qa") / "weights_S2.npy")
    assert weights.shape == (2, 6, 30)
    assert weights.dtype == np.float32
    (recording,) = open_recordings(["S2"], world.space, world.stories, [1, 2], world.responses)
    x = recording.test["x"]
    predicted = np.vstack([np.zeros((1, 6)), x[:-1]]) @ weights[0] + np.vstack([np.zeros((2, 6)), x[:-2]]) @ weights[1]
    table = pd.read_parquet(encoded.encoding("qa") / "scores.parquet").query("subject == 'S2'")
    responses = recording.read(slice(0, 30)).responses
    kept = table["r"].notna().to_numpy()
    r = correlation(predicted[:, kept], responses["x"][:, kept])
    np.testing.assert_allclose(r, table["r_x"][kept], atol=1e-5)


def test_metrics_are_small_and_consistent(encoded):
    metrics = read_json(encoded.metrics("encode", "qa"))
    assert list(metrics) == ["S1", "S2"]
    table = pd.read_parquet(encoded.encoding("qa") / "scores.parquet")
    for subject, own in metrics.items():
        part = table[table["subject"] == subject]
        assert own["mean_r"] == pytest.approx(part["r"].mean())
        assert own["mean_ceiling"] == pytest.approx(part["ceiling"].mean())
        assert own["r_low"] < own["mean_r"] < own["r_high"]
        assert 0.8 < own["share_of_ceiling"] < 1.1
        assert (own["n_voxels"], own["n_nan"]) == (30, 2)
        assert 16 <= own["n_reliable"] <= 20


def test_what_is_not_known_is_null_in_the_metrics(world, tmp_path):
    import h5py

    with h5py.File(world.responses / "S1.h5") as file, h5py.File(tmp_path / "S1.h5", "w") as copy:
        file.copy("data", copy)
    settings = world.encode_settings(n_permutations=0)
    (recording,) = open_recordings(["S1"], world.space, world.stories, [1, 2], tmp_path)
    plan = plan_fit(recording, settings)
    scores = fit_voxels(recording, plan, settings, plain_solver(plan, settings), tmp_path)
    numbers = summarise(scores, "strict")
    assert [key for key, value in numbers.items() if value is None] == [
        "mean_ceiling",
        "share_of_ceiling",
        "mean_cc_norm",
        "n_significant",
    ]


@pytest.mark.parametrize("n_repeats", [0, 1])
def test_without_repeats_it_is_said_that_there_is_no_ceiling(world, tmp_path, capsys, n_repeats):
    import shutil

    import h5py

    workspace = Workspace(tmp_path)
    for part in ("dataset", "features/qa"):
        shutil.copytree(world.workspace.work / part, workspace.work / part)
    for path in (workspace.dataset / "responses").iterdir():
        with h5py.File(path, "a") as file:
            repeats = file["repeats/x"][:n_repeats]
            del file["repeats"]
            if n_repeats:
                file["repeats/x"] = repeats
    encode(world.settings(), workspace, "qa")
    assert capsys.readouterr().out.count("no noise ceiling: no test story has two or more repeats") == 2
    table = pd.read_parquet(workspace.encoding("qa") / "scores.parquet")
    assert "ceiling_x" not in table
    assert table[["ceiling", "cc_norm"]].isna().all(axis=None)
    assert table["p"].notna().sum() == 56


def test_joined_spaces_name_their_features_and_the_model_says_how_it_was_fitted(encoded):
    model = read_json(encoded.encoding("both") / "model.json")
    assert model["spaces"] == ["qa", "junk"]
    assert model["features"] == [f"qa:q{i}" for i in range(6)] + ["junk:j0", "junk:j1"]
    assert (model["protocol"], model["delays"], model["n_folds"]) == ("strict", [1, 2], 3)


def test_importance_ranks_the_features_that_carry_signal_first(encoded):
    table = pd.read_csv(encoded.encoding("both") / "importance.csv")
    assert list(table.columns) == ["subject", "feature", "importance", "signed", "rank"]
    for _, own in table.groupby("subject"):
        assert own.sort_values("rank")["feature"].tolist()[-2:] in (["junk:j0", "junk:j1"], ["junk:j1", "junk:j0"])


def test_models_of_one_run_can_be_paired(encoded):
    qa, junk = (read_jackknife(encoded.encoding(name), "S1") for name in ("qa", "junk"))
    found = confidence(paired_difference(qa, junk))
    assert found.low > 0
    assert found.p < 0.001
    with pytest.raises(BadInput, match="same subject"):
        paired_difference(qa, read_jackknife(encoded.encoding("qa"), "S2"))
    with pytest.raises(BadInput, match="no scores of S9"):
        read_jackknife(encoded.encoding("qa"), "S9")


def test_every_subject_and_model_is_a_run_under_one_parent(encoded):
    from mlflow.tracking import MlflowClient

    from qaemb.tracking import Tracker

    client = MlflowClient(Tracker(encoded.mlruns).uri)
    experiment = client.get_experiment_by_name("encode planted")
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs} - {None}
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert {run.info.run_name for run in children} == {f"{name} {s}" for name in SPACES for s in ("S1", "S2")}
    own = next(run for run in children if run.info.run_name == "both S2")
    assert own.data.params["spaces"] == "qa+junk"
    assert own.data.params["n_train_stories"] == "4"
    assert own.data.metrics["mean_r"] == pytest.approx(read_json(encoded.metrics("encode", "both"))["S2"]["mean_r"])
    assert {file.path for file in client.list_artifacts(own.info.run_id)} == {"r_S2.png", "model.json"}


def test_the_same_inputs_give_the_same_files(encoded, world):
    folder = encoded.encoding("qa")
    names = ("scores.parquet", "weights_S1.npy", "predictions_S1.npy", "importance.csv", "model.json")
    before = {name: (folder / name).read_bytes() for name in names}
    encode(world.settings(spaces=SPACES, voxel_block=16), world.workspace, "qa")
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_a_failure_leaves_the_old_model(encoded, world):
    before = (encoded.encoding("qa") / "model.json").read_bytes()
    with pytest.raises(BadInput, match=r"lower encode\.n_folds"):
        encode(world.settings(spaces=SPACES, n_folds=9), world.workspace, "qa")
    assert (encoded.encoding("qa") / "model.json").read_bytes() == before
    assert {path.name for path in encoded.encoding("qa").parent.iterdir()} == set(SPACES)


def test_an_unknown_model_lists_the_known_ones(world):
    with pytest.raises(BadParameter, match=r"no model `qa2` in encode.spaces; there are: qa, junk, both"):
        encode(world.settings(spaces=SPACES), world.workspace, "qa2")


def test_himalaya_gives_the_same_scores(world):
    found = {}
    for engine in ("sums", "himalaya"):
        settings = world.encode_settings(engine=engine, precision="float64", voxel_block=11)
        (recording,) = open_recordings(["S1"], world.space, world.stories, settings.delays, world.responses)
        plan = plan_fit(recording, settings)
        solver = open_solver(recording, plan, settings, [], world.workspace.root / "unused")
        blocks = list(_fit_blocks(recording, solver, settings))
        found[engine] = {name: np.hstack([getattr(own, name) for own in blocks]) for name in ("r", "alpha", "weights")}
    for name in ("r", "alpha", "weights"):
        np.testing.assert_allclose(found["himalaya"][name], found["sums"][name], atol=1e-5)


@pytest.mark.parametrize("engine", ["sums", "himalaya"])
def test_banded_models_have_a_penalty_for_each_space(world, engine):
    own = {"spaces": {"bands": ["qa", "junk"]}, "n_band_candidates": 8, "n_permutations": 0, "precision": "float64"}
    scores = {}
    for banded in ([], ["bands"]):
        settings = world.settings(**own, banded=banded, engine=engine)
        encode(settings, world.workspace, "bands")
        scores[bool(banded)] = pd.read_parquet(world.workspace.encoding("bands") / "scores.parquet")
    assert not any(name.startswith("gamma_") for name in scores[False])
    kept = scores[True].dropna(subset=["r"])
    signal = kept[kept["voxel"] < 20]
    np.testing.assert_allclose(kept[["gamma_qa", "gamma_junk"]].mean(axis=1), 1.0)
    assert (signal["gamma_qa"] > signal["gamma_junk"]).mean() > 0.8
    assert scores[True]["r"].mean() > scores[False]["r"].mean()
    assert not (world.workspace.encoding("bands") / "products.npy").exists()
