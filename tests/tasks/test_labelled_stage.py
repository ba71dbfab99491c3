"""The stage `downstream` on labelled messages: real MiniLM, the student that comes with qaemb, and MLflow on sqlite."""

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from qaemb.models.folder import INFO_FILE
from qaemb.settings import load_settings
from qaemb.stages.downstream import downstream
from qaemb.stages.inputs import questions
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
TASKS = {
    "some": {
        "kind": "classification",
        "set": "core",
        "classification": {"sizes": [1, 10], "compared": 10, "n_folds": 3, "n_random": 1, "n_explained": 2},
    },
    "clusters": {
        "kind": "clustering",
        "set": "core",
        "clustering": {"describe": "short messages", "n_chosen": 10, "n_seeds": 1, "n_random": 1},
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    model = ROOT / "data" / "work" / "models" / "minilm"
    if not (model / INFO_FILE).exists():
        pytest.skip("no data/work/models/minilm; `qaemb model --model minilm` makes it")
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "data" / "questions", root / "data" / "questions")
    shutil.copytree(model, root / "data" / "work" / "models" / "minilm")
    table = pd.read_csv(ROOT / "data" / "tasks" / "messages.csv").groupby("label").head(12)
    table.to_csv(root / "messages.csv", index=False)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    shared = {"data": "messages.csv", "answerer": "student", "encoder": "minilm", "n_resamples": 100}
    values["downstream"] = {"tasks": {name: own | shared for name, own in TASKS.items()}}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    settings, workspace = load_settings(root / "params.yaml"), Workspace(root)
    questions(settings, workspace)
    for task in TASKS:
        downstream(settings, workspace, task)
    return root


@pytest.mark.slow
def test_tables_and_metrics_are_written(project):
    folder = project / "data" / "work" / "downstream"
    names = {path.name for path in (folder / "some").iterdir()}
    assert names == {"scores.csv", "curve.csv", "questions.csv", "contributions.csv"}
    assert {path.name for path in (folder / "clusters").iterdir()} == {"scores.csv", "chosen.csv", "clusters.csv"}
    metrics = json.loads((project / "reports" / "metrics" / "downstream" / "some.json").read_text())
    scores = pd.read_csv(folder / "some" / "scores.csv").set_index("method")
    assert metrics["answers_10"]["accuracy"] == scores.loc["answers_10", "accuracy"]
    assert metrics["n_texts"] == 72
    assert metrics["answers_10"]["accuracy"] > metrics["majority"]["accuracy"] + 0.2


@pytest.mark.slow
def test_every_method_is_a_run_under_the_run_of_its_task(project):
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("downstream")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    metrics = json.loads((project / "reports" / "metrics" / "downstream" / "some.json").read_text())
    for method in ("answers_1", "answers_10", "answers_all", "random_10", "tfidf", "embedding", "majority"):
        run = runs[f"some {method}"]
        assert run.data.metrics["accuracy"] == pytest.approx(metrics[method]["accuracy"])
        assert run.data.params["family"] == method.split("_")[0]
        assert run.data.tags["mlflow.parentRunId"] == runs["classification some"].info.run_id
    assert "clusters answers_wording" in runs


@pytest.mark.slow
def test_texts_are_answered_once_and_the_scores_are_the_same_again(project, capsys):
    path = project / "reports" / "metrics" / "downstream" / "some.json"
    before = path.read_text()
    downstream(load_settings(project / "params.yaml"), Workspace(project), "some")
    assert "0 to answer" in capsys.readouterr().out
    assert path.read_text() == before
