"""Stage `downstream` in a small project with a tiny encoder: files, metrics, MLflow, the store, and errors."""

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json
from qaemb.models.folder import make_model
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import ModelSettings, Settings
from qaemb.stages.answers import answerers
from qaemb.stages.downstream import downstream
from qaemb.tracking import Tracker
from qaemb.workspace import Workspace

from ..answers.conftest import save_tiny_encoder

PARAMS = Path(__file__).parents[2] / "params.yaml"
BANK = [Question(f"q{number}", f"Does the text mention thing {number}?") for number in range(4)]
WORDS = ["red", "fox", "river", "boat", "near", "old", "door", "soup", "lamp", "hand", "road", "song", "night", "coat"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("source")
    save_tiny_encoder(source)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model("tiny", ModelSettings(source="folder", path=source, kind="encoder"), folder)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, encoder) -> Workspace:
    """One project for all tests here: the first use of MLflow's database takes seconds."""
    own = Workspace(tmp_path_factory.mktemp("project"))
    shutil.copytree(encoder, own.model("tiny"))
    write_tables(own.questions, BANK, [QuestionSet("full", tuple(BANK))], [])
    _write_pairs(own.root / "pairs.csv")
    _write_retrieval(own.root / "finding")
    return own


def _write_pairs(path: Path) -> None:
    rows = [(f"{a} {b}", f"{b} {c}", n) for n, (a, b, c) in enumerate(zip(WORDS, WORDS[1:], WORDS[2:], strict=False))]
    pd.DataFrame(rows, columns=["first", "second", "score"]).to_csv(path, index=False)


def _write_retrieval(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"d{n}", "text": f"{word} and {other}"}
        for n, (word, other) in enumerate(zip(WORDS, WORDS[::-1], strict=True))
    ]
    queries = [{"_id": f"q{n}", "text": f"where is the {word}"} for n, word in enumerate(WORDS)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [f"q{n}\td{n}\t1" for n in range(len(WORDS))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))


def settings(**tasks: dict) -> Settings:
    values = yaml.safe_load(PARAMS.read_text())
    values["model"]["tiny"] = {"source": "folder", "path": "tiny", "kind": "encoder"}
    values["answers"]["spec"]["tiny"] = {"engine": "student", "model": "tiny", "scale": 20.0}
    shared = {"answerer": "tiny", "encoder": "tiny", "n_resamples": 100}
    values["downstream"] = {"tasks": {name: shared | own for name, own in tasks.items()}}
    return Settings.model_validate(values)


def test_a_task_leaves_scores_tables_metrics_and_a_run_per_method(workspace, capsys):
    own = settings(pairs={"kind": "similarity", "data": "pairs.csv"})
    downstream(own, workspace, "pairs")
    printed = capsys.readouterr().out
    assert "pairs: 12 pairs of 13 texts" in printed
    scores = pd.read_csv(workspace.downstream("pairs") / "scores.csv").set_index("method")
    metrics = read_json(workspace.metrics("downstream", "pairs"))
    assert metrics["answers"]["spearman"] == pytest.approx(scores.loc["answers", "spearman"])
    assert len(pd.read_csv(workspace.downstream("pairs") / "pairs.csv")) == 12
    mlflow.set_tracking_uri(Tracker(workspace.mlruns).uri)
    runs = mlflow.search_runs(experiment_names=["downstream"])
    names = [f"pairs {method}" for method in scores.index]
    assert sorted(runs["tags.mlflow.runName"]) == sorted([*names, "similarity pairs"])
    run = runs[runs["tags.mlflow.runName"] == "pairs embedding"].iloc[0]
    assert run["metrics.spearman"] == pytest.approx(metrics["embedding"]["spearman"])
    assert run["params.answerer"] == "tiny"


def test_answers_are_bought_once_and_the_numbers_come_out_the_same(workspace, capsys):
    own = settings(finding={"kind": "retrieval", "data": "finding", "retrieval": {"n_folds": 3}})
    downstream(own, workspace, "finding")
    first = read_json(workspace.metrics("downstream", "finding"))
    assert "112 cells wanted, 0 in the store" in capsys.readouterr().out
    downstream(own, workspace, "finding")
    assert "112 in the store, 0 to answer" in capsys.readouterr().out
    assert read_json(workspace.metrics("downstream", "finding")) == first
    files = {path.stem for path in workspace.downstream("finding").glob("*.csv")}
    assert files == {"scores", "queries", "weights", "mixtures", "explanations"}
    assert first["bm25"]["mrr"] > 0.7  # each word stands in two documents


def test_answerers_of_tasks_have_their_key_written(workspace):
    own = settings(pairs={"kind": "similarity", "data": "pairs.csv"})
    own = own.model_copy(update={"answers": own.answers.model_copy(update={"jobs": {}})})
    answerers(own, workspace)
    assert [path.name for path in workspace.answerers.iterdir()] == ["tiny.json"]


def test_what_is_wrong_is_said_and_nothing_is_written(workspace):
    kind = {"kind": "similarity"}
    own = settings(absent=kind | {"data": "absent.csv"}, set=kind | {"data": "pairs.csv", "set": "none"})
    with pytest.raises(BadParameter, match="no task `other` in downstream.tasks; there are: absent, set"):
        downstream(own, workspace, "other")
    with pytest.raises(BadInput, match=r"absent.csv can't be read"):
        downstream(own, workspace, "absent")
    with pytest.raises(BadInput, match="none"):
        downstream(own, workspace, "set")
    for task in own.downstream.tasks:
        assert not workspace.downstream(task).exists()
        assert not workspace.metrics("downstream", task).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answerer": "nobody"}, r"downstream.tasks.pairs.answerer: `nobody` is not in answers.spec"),
        ({"encoder": "nothing"}, r"downstream.tasks.pairs.encoder: `nothing` is not in model"),
        ({"kind": "poetry"}, "kind"),
        ({"retrieval": {"n_folds": 3}}, "section `retrieval` belongs to kind `retrieval`"),
        ({"kind": "retrieval", "retrieval": {"train_share": 1.5}}, "train_share"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        settings(pairs={"kind": "similarity", "data": "pairs.csv"} | change)
