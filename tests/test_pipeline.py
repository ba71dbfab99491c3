"""The whole pipeline through DVC in a copy of the project: real model, real MLflow, Feast and Great Expectations.

Only the LLM's jobs are made shorter: two questions in place of eight, both about sentences, which are fewer than TRs.
"""

import itertools
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from qaemb.settings import load_settings

from .projects import ROOT, answered_now, copy_project, edit, metrics, run, stages_run, succeed

SUBJECTS = ("UTS01", "UTS02", "UTS03")
ONE_OF_EACH = (
    "miniature",
    "dataset",
    "segments@tr",
    "questions",
    "model@minilm",
    "distill@smollm2_heads",
    "answerers",
    "answers@llm_sentence",
    "validate@llm_sentence",
    "features@qa_llm",
    "designs",
    "encode@gold",
    "interpret@gold",
    "select@qa_student",
    "publish",
    "downstream@lee",
    "report",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    two = {"set": "two", "questions": ["speech", "motion"]}
    (folder / "data" / "questions" / "sets" / "two.yaml").write_text(yaml.safe_dump(two))
    edit(folder / "params.yaml", "segmentation: tr, set: quick", "segmentation: sentence, set: two")
    edit(folder / "params.yaml", "set: quick", "set: two")
    ran = stages_run(succeed("dvc", "repro", cwd=folder))
    assert {name.split("@")[0] for name in ran} == set(_stages())
    return folder


def _stages() -> dict[str, object]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_again_does_nothing(project: Path) -> None:
    assert stages_run(succeed("dvc", "repro", cwd=project)) == []


def test_a_forced_run_of_the_same_code_leaves_the_lock_file_as_it_was(project: Path) -> None:
    assert {name.split("@")[0] for name in ONE_OF_EACH} == set(_stages())
    before = (project / "dvc.lock").read_text()
    ran = stages_run(succeed("dvc", "repro", "--force", "--single-item", *ONE_OF_EACH, cwd=project))
    assert sorted(ran) == sorted(ONE_OF_EACH)
    assert (project / "dvc.lock").read_text() == before


def test_a_clone_pulls_all_results_and_builds_only_its_own_feature_store(project: Path, tmp_path: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    succeed("git", "add", "--all", cwd=project)
    succeed("git", *who, "commit", "-q", "-m", "a run", cwd=project)
    succeed("dvc", "remote", "add", "--local", "--default", "folder", str(tmp_path / "remote"), cwd=project)
    succeed("dvc", "push", cwd=project)
    clone = tmp_path / "clone"
    succeed("git", "clone", "-q", str(project), str(clone), cwd=tmp_path)
    succeed("dvc", "remote", "add", "--local", "--default", "folder", str(tmp_path / "remote"), cwd=clone)
    succeed("dvc", "pull", cwd=clone)
    assert stages_run(succeed("dvc", "repro", "report", cwd=clone)) == []
    assert stages_run(succeed("dvc", "repro", cwd=clone)) == ["publish"]
    assert succeed("git", "status", "--porcelain", cwd=clone) == ""


def test_every_stage_stands_behind_the_one_it_needs(project: Path) -> None:
    dot = succeed("dvc", "dag", "--dot", cwd=project)
    edges = re.findall(r'"([^"]+)"\s*->\s*"([^"]+)"', dot)
    pairs = {(a.split("@")[0], b.split("@")[0]) for a, b in edges}
    order = ["dataset", "segments", "answers", "validate", "features", "designs", "encode", "report"]
    assert set(itertools.pairwise(order)) <= pairs
    assert {("questions", "answers"), ("model", "answerers"), ("answerers", "answers")} <= pairs
    assert {("validate", "publish"), ("features", "select")} <= pairs


@pytest.mark.parametrize("subject", SUBJECTS)
def test_gold_beats_word_rate_and_stays_under_the_ceiling(project: Path, subject: str) -> None:
    gold, rate = metrics(project, "encode", "gold")[subject], metrics(project, "encode", "word_rate")[subject]
    assert gold["r_low"] > rate["r_high"]
    assert rate["mean_r"] < gold["mean_r"] < gold["mean_ceiling"]
    assert gold["share_of_ceiling"] < 1


def test_answerers_are_graded_against_gold(project: Path) -> None:
    assert metrics(project, "validate", "student_sentence")["mean_auc"] > 0.65
    grades = pd.read_csv(project / "data" / "work" / "validation" / "llm_sentence" / "grades.csv")
    assert set(grades["name"]) == {"speech", "motion"}


def test_answers_are_compared_with_their_reference(project: Path) -> None:
    assert metrics(project, "validate", "llm_sentence")["drift_n_moved"] == 0
    page = (project / "reports" / "data_docs" / "llm_sentence" / "drift.html").read_text()
    assert "Not compared, as they are no longer asked: place, family" in page


def test_runs_can_be_compared_in_mlflow(project: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("encode miniature")
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    models = load_settings(project / "params.yaml").encode.spaces
    assert {(run.data.params["model"], run.data.params["subject"]) for run in children} == {
        (model, subject) for model in models for subject in SUBJECTS
    }
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    gold = next(run for run in children if run.info.run_name == "gold UTS01")
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    md5 = lock["features@gold"]["outs"][0]["md5"]
    assert gold.data.tags["dvc.data/work/features/gold"] == md5
    assert gold.data.metrics["mean_r"] == pytest.approx(metrics(project, "encode", "gold")["UTS01"]["mean_r"])
    path = client.search_runs([client.get_experiment_by_name("select miniature").experiment_id])
    assert {"elastic_net", "random"} <= {run.data.params.get("method") for run in path}


def test_tasks_are_evaluated_beside_baselines(project: Path) -> None:
    household, lee = metrics(project, "downstream", "household"), metrics(project, "downstream", "lee")
    assert household["bm25+answers"]["ndcg_10_low"] > household["bm25"]["ndcg_10_high"]
    assert lee["answers"]["spearman_low"] > 0
    assert "household" in (project / "reports" / "index.html").read_text()


def test_the_report_is_one_readable_file(project: Path) -> None:
    page = (project / "reports" / "index.html").read_text()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert page.count("data:image/png;base64,") >= 6
    assert "wedding" in page


def test_metrics_and_plots_are_shown(project: Path) -> None:
    shown = json.loads(succeed("dvc", "metrics", "show", "--json", cwd=project))
    assert "reports/metrics/encode/gold.json" in shown[""]["data"]
    succeed("dvc", "plots", "show", cwd=project)
    assert (project / "dvc_plots" / "index.html").is_file()


def test_features_of_stored_and_new_texts_are_named(project: Path) -> None:
    out = succeed("qaemb", "features", "We ate soup in the kitchen.", "--set", "core", cwd=project)
    assert re.search(r"^  food\s+\+\d", out, re.M)
    unknown = run("qaemb", "features", "A text.", "--set", "nothing", cwd=project)
    assert unknown.returncode == 1
    assert "core" in unknown.stderr
    assert stages_run(succeed("dvc", "repro", cwd=project)) == []


def test_the_downstream_example_predicts_online_what_it_predicts_offline(project: Path) -> None:
    succeed(sys.executable, "examples/downstream.py", cwd=project)


def test_a_selected_set_is_adopted_by_the_bank(project: Path) -> None:
    succeed("qaemb", "questions", "adopt", "data/selected/qa_student.yaml", cwd=project)
    succeed("qaemb", "questions", cwd=project)
    sets = pd.read_parquet(project / "data" / "work" / "questions" / "sets.parquet")
    assert "selected_qa_student" in set(sets["set"])
    (project / "data" / "questions" / "sets" / "qa_student.yaml").unlink(missing_ok=True)
    (project / "data" / "questions" / "sets" / "selected_qa_student.yaml").unlink(missing_ok=True)
    succeed("dvc", "repro", "questions", cwd=project)


def test_one_added_question_costs_one_column(project: Path) -> None:
    before = pd.read_parquet(project / "data" / "work" / "answers" / "student_sentence" / "margin.parquet")
    bank = project / "data" / "questions" / "bank" / "food.yaml"
    original = bank.read_text()
    bank.write_text(
        original.rstrip("\n") + "\n  - name: spoon\n    text: Does the text mention a spoon?\n"
        "    yes_example: She stirred the soup with a wooden spoon.\n    no_example: She stirred the soup.\n"
    )
    succeed("dvc", "repro", "answers@student_sentence", cwd=project)
    after = pd.read_parquet(project / "data" / "work" / "answers" / "student_sentence" / "margin.parquet")
    assert answered_now(project, "student_sentence") == len(before)
    pd.testing.assert_frame_equal(after[before.columns], before)
    bank.write_text(original)
    assert "answers@student_sentence" not in stages_run(
        succeed("dvc", "repro", "answers@student_sentence", cwd=project)
    )
    again = pd.read_parquet(project / "data" / "work" / "answers" / "student_sentence" / "margin.parquet")
    pd.testing.assert_frame_equal(again, before)


def test_a_bad_matrix_stops_what_follows(project: Path) -> None:
    edit(project / "params.yaml", "margin_limit: 60.0", "margin_limit: 0.001")
    done = run("dvc", "repro", "features@qa_student", cwd=project)
    assert done.returncode != 0
    assert "student_words10" in done.stderr
    assert "features@qa_student" not in stages_run(done.stdout)
    assert not (project / "data" / "work" / "validation" / "student_words10").exists()
    edit(project / "params.yaml", "margin_limit: 0.001", "margin_limit: 60.0")
    succeed("dvc", "repro", "features@qa_student", cwd=project)
