"""The stage on the planted world, through the command line: files, numbers, runs, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.encoding.scores import correlation
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space, read_space, write_space
from qaemb.files import read_json, write_table
from qaemb.settings import InterpretSettings, load_settings
from qaemb.stages.encode import encode
from qaemb.stages.interpret import interpret
from qaemb.workspace import Workspace

SPACES = {"qa": ["qa"], "both": ["qa", "junk"]}


def qaemb(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def settings(world):
    made = world.settings(spaces=SPACES, voxel_block=16)
    own = InterpretSettings(models=["qa", "both"], n_groups=4, top_k=3)
    return made.model_copy(update={"interpret": own})


@pytest.fixture(scope="module")
def project(world, settings, tmp_path_factory) -> Path:
    """Return a project in which `both` was encoded, and interpreted by the command; j1 is a copy of q0."""
    root = tmp_path_factory.mktemp("project")
    workspace = Workspace(root)
    for part in ("dataset", "features"):
        shutil.copytree(world.workspace.work / part, workspace.work / part)
    qa, junk = (read_space(workspace.features(name) / "features.parquet") for name in ("qa", "junk"))
    values = {story: np.column_stack([own[:, 0], qa.values[story][:, 0]]) for story, own in junk.values.items()}
    write_space(workspace.features("junk") / "features.parquet", Space(junk.names, values))
    region = ["front"] * 20 + ["noise"] * 10
    voxels = {"subject": "S1", "voxel": np.arange(30, dtype=np.int32), "hemi": "left", "vertex": 100, "region": region}
    write_table(workspace.dataset / "voxels.parquet", pd.DataFrame(voxels))
    (root / "params.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json", by_alias=True)))
    encode(settings, workspace, "both")
    done = qaemb("interpret", "--name", "both", cwd=root)
    assert done.returncode == 0, done.stderr
    (root / "said").write_text(done.stdout)
    return root


@pytest.fixture
def copied(project, tmp_path) -> Workspace:
    """Return a copy of the project, to be spoilt."""
    for part in ("dataset", "features", "encoding"):
        shutil.copytree(project / "data" / "work" / part, tmp_path / "data" / "work" / part)
    return Workspace(tmp_path)


def table(project: Path, name: str) -> pd.DataFrame:
    path = Workspace(project).interpretation("both") / name
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def test_questions_are_ranked_per_subject_and_region(project):
    questions = table(project, "questions.csv")
    assert questions.groupby("subject")["scope"].unique().map(list).to_dict() == {
        "S1": ["all", "front", "noise"],
        "S2": ["all"],
    }
    assert questions.groupby(["subject", "scope"])["n_voxels"].first().tolist() == [28, 18, 10, 28]
    front = questions[questions["scope"] == "front"].set_index("question")
    others = [f"qa:q{i}" for i in range(1, 6)]
    assert (front.loc[others, "unique_r_low"] > 0).all()
    assert (front.loc[others, "unique_r_q"] < 0.05).all()
    assert front.loc[["qa:q0", "junk:j0", "junk:j1"], "unique_r"].abs().max() < front.loc[others, "unique_r"].min() / 5
    assert front.loc["junk:j0", "importance_low"] < 0 < front.loc[others, "importance_low"].min()
    for measure in ("weight", "importance", "unique_r", "unique_share"):
        assert (questions[f"{measure}_low"] <= questions[measure]).all()
        assert (questions[measure] <= questions[f"{measure}_high"]).all()


def test_copies_are_one_cluster_that_cannot_be_replaced(project):
    clusters = table(project, "clusters.csv").set_index("question")
    assert clusters.loc["qa:q0", "nearest"] == "junk:j1"
    assert clusters.loc["qa:q0", "r"] == pytest.approx(1.0)
    assert clusters.loc["qa:q0", "cluster"] == clusters.loc["junk:j1", "cluster"] == 1
    assert (clusters["size"] > 1).sum() == 2
    r = table(project, "redundancy.parquet")
    assert r.shape == (8, 8)
    sets = table(project, "sets.csv")
    own = sets[(sets["scope"] == "front") & (sets["kind"] == "cluster")].iloc[0]
    assert (own["name"], own["n_features"]) == ("qa:q0", 2)
    assert own["unique_r_low"] > 0.02


def test_spaces_add_what_a_model_without_them_lacks(project):
    sets = table(project, "sets.csv")
    spaces = sets[(sets["kind"] == "space") & (sets["scope"] == "all")].set_index(["subject", "name"])
    assert spaces.loc[("S1", "qa"), "n_features"] == 6
    assert spaces.loc[("S1", "qa"), "unique_r_low"] > 0.1
    assert abs(spaces.loc[("S1", "junk"), "unique_r"]) < 0.01


def test_every_voxel_has_its_questions_and_arrays(project, world):
    top = table(project, "top.parquet")
    scored = [v for v in range(30) if v not in (world.nan_voxel, world.flat_voxel)]
    assert top.groupby("subject").size().to_dict() == {"S1": 84, "S2": 84}
    assert top.loc[top["subject"] == "S1", "voxel"].unique().tolist() == scored
    assert top.loc[top["subject"] == "S2", "region"].isna().all()
    first = top[(top["subject"] == "S1") & (top["rank"] == 1)].iloc[0]
    folder = Workspace(project).interpretation("both")
    names = read_json(Workspace(project).encoding("both") / "model.json")["features"]
    arrays = {name: np.load(folder / f"{name}_S1.npy") for name in ("weight", "same_sign", "unique_r", "unique_share")}
    assert all(values.shape == (8, 30) for values in arrays.values())
    assert np.isnan(arrays["weight"][:, [world.nan_voxel, world.flat_voxel]]).all()
    question = names.index(first["question"])
    assert np.abs(arrays["weight"][:, 0]).argmax() == question
    for name in arrays:
        assert first[name] == arrays[name][question, 0]
    weights = np.load(Workspace(project).encoding("both") / "weights_S1.npy").mean(axis=0)
    np.testing.assert_allclose(arrays["weight"][:, scored], weights[:, scored], atol=1e-5)
    signal = top[(top["subject"] == "S1") & (top["rank"] == 1) & (top["voxel"] < 20)]
    noise = top[(top["subject"] == "S1") & (top["rank"] == 1) & (top["voxel"] >= 20)]
    assert signal["same_sign"].mean() > 0.95 > noise["same_sign"].mean()


def test_what_a_question_adds_is_what_a_model_without_it_lacks(project, settings):
    """A model is fitted again by plain normal equations, without question q2, at the alpha of each voxel."""
    from qaemb.encoding.recording import open_recordings
    from qaemb.features.space import join_spaces

    workspace = Workspace(project)
    spaces = [read_space(workspace.features(part) / "features.parquet") for part in ("qa", "junk")]
    stories = pd.read_parquet(workspace.dataset / "stories.parquet")
    space = join_spaces(("qa", "junk"), spaces)
    (recording,) = open_recordings(["S1"], space, stories, [1, 2], workspace.dataset / "responses")
    responses = recording.read(slice(0, 1)).responses
    scores = pd.read_parquet(workspace.encoding("both") / "scores.parquet").iloc[0]
    kept = [i for i in range(16) if i not in (2, 10)]
    x = np.vstack([design for _, design in recording.designs()])[:, kept]
    y = np.vstack([responses[story] for story in recording.train])
    weights = np.linalg.solve(x.T @ x + scores["alpha"] * np.eye(14), x.T @ y)
    from qaemb.encoding.recording import delayed

    r = [
        correlation(delayed(values, [1, 2])[:, kept] @ weights, responses[story])[0]
        for story, values in recording.test.items()
    ]
    added = np.load(workspace.interpretation("both") / "unique_r_S1.npy")[2, 0]
    assert added == pytest.approx(scores["r"] - np.mean(r), abs=1e-5)


def test_figures_metrics_and_runs(project):
    from mlflow.tracking import MlflowClient

    from qaemb.tracking import Tracker

    workspace = Workspace(project)
    folder = workspace.interpretation("both")
    figures = {path.name for path in folder.glob("*.png")}
    assert {"redundancy.png", "unique_S1.png", "importance_S2.png"} <= figures
    (on_cortex,) = folder.glob("map_*.png")
    assert on_cortex.name.startswith("map_S1_qa-q")
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    metrics = read_json(workspace.metrics("interpret", "both"))
    assert metrics["S1"]["n_questions"] == 8
    assert 3 <= metrics["S1"]["n_adding"] <= 5
    said = (project / "said").read_text().splitlines()
    assert said[0] == "interpret both: 8 features in 7 clusters"
    assert f"S1: {metrics['S1']['n_adding']} of 8 questions add to r what the others cannot" in said[1]
    client = MlflowClient(Tracker(workspace.mlruns).uri)
    experiment = client.get_experiment_by_name("interpret planted")
    runs = client.search_runs([experiment.experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert set(children) == {"both S1", "both S2"}
    assert children["both S1"].data.metrics["n_adding"] == metrics["S1"]["n_adding"]
    kept = {file.path for file in client.list_artifacts(children["both S1"].info.run_id)}
    expected = {"questions.csv", "sets.csv", "clusters.csv", "redundancy.png", "unique_S1.png", "importance_S1.png"}
    assert kept == expected | {on_cortex.name}


def test_blocks_of_voxels_change_nothing(project, settings, monkeypatch):
    names = ("questions.csv", "sets.csv", "top.parquet")
    before = {name: table(project, name) for name in names}
    monkeypatch.setattr("qaemb.encoding.interpretation._BYTES", 8 * 4 * 16 * 7)  # seven voxels at once
    interpret(settings, Workspace(project), "both")
    for name, expected in before.items():
        pd.testing.assert_frame_equal(table(project, name), expected, rtol=1e-4, atol=1e-7)


def test_models_that_were_not_listed_or_have_no_single_penalty_are_refused(project, settings):
    workspace = Workspace(project)
    with pytest.raises(BadParameter, match="no model `junk` in interpret.models; there are: qa, both"):
        interpret(settings, workspace, "junk")
    own = InterpretSettings(models=["qaa"])
    with pytest.raises(BadParameter, match=r"interpret.models: `qaa` is not in encode.spaces \(qa, both\)"):
        interpret(settings.model_copy(update={"interpret": own}), workspace, "qaa")
    banded = settings.encode.model_copy(update={"banded": ["both"]})
    with pytest.raises(BadParameter, match="`both` has no single penalty per voxel.*take it out of interpret.models"):
        interpret(settings.model_copy(update={"encode": banded}), workspace, "both")


def test_a_model_that_was_not_encoded_says_what_to_run(project):
    done = qaemb("interpret", "--name", "qa", cwd=project)
    assert done.returncode == 1
    assert "encoding/qa/model.json does not exist; run `dvc repro`" in done.stderr
    assert not (project / "data" / "work" / "interpretation" / "qa").exists()


def test_other_features_delays_or_responses_are_refused(copied, settings):
    other = settings.encode.model_copy(update={"delays": [1, 3]})
    with pytest.raises(BadInput, match=r"other `delays` than there are now; run `dvc repro encode@both`"):
        interpret(settings.model_copy(update={"encode": other}), copied, "both")
    with h5py.File(copied.dataset / "responses" / "S1.h5", "a") as file:
        file["data/y"][:, 0] = file["data/y"][:][::-1, 0]
    with pytest.raises(BadInput, match=r"S1: the model fitted again gives an r that is .* run `dvc repro encode`"):
        interpret(settings, copied, "both")
    assert not copied.interpretation("both").exists()


def test_scores_of_other_voxels_are_refused(copied, settings):
    path = copied.encoding("both") / "scores.parquet"
    write_table(path, pd.read_parquet(path).iloc[1:])
    with pytest.raises(BadInput, match=r"S1 has other voxels in its responses than in scores.parquet"):
        interpret(settings, copied, "both")


def test_a_subject_with_one_train_story_can_not_be_resampled(copied, settings):
    stories = pd.read_parquet(copied.dataset / "stories.parquet")
    write_table(copied.dataset / "stories.parquet", stories[stories["story"].isin(["a", "x", "y"])])
    with pytest.raises(BadInput, match="1 train story can't be resampled; add train stories"):
        interpret(settings, copied, "both")


def test_settings_are_checked_by_key(settings, tmp_path):
    values = settings.model_dump(mode="json", by_alias=True)
    values["interpret"]["n_groups"] = 10
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(BadParameter, match=r"interpret\.n_groups: .*2, 4, 8, 16 or 32"):
        load_settings(tmp_path / "params.yaml")
