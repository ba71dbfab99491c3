from __future__ import annotations

import math

import pytest
from mlflow.tracking import MlflowClient

from qaemb.errors import BadInput
from qaemb.tracking import RunRecord, Tracker


@pytest.fixture
def tracker(new_tracker, tmp_path):
    return new_tracker(tmp_path / "mlruns")


@pytest.fixture
def parent(tracker):
    return tracker.parent_run("encode", "miniature", "encode miniature", {"delays": [1, 2]}, {"git.commit": "abc"})


def _client(tracker):
    return MlflowClient(tracking_uri=tracker.uri)


def _children(tracker, parent):
    client = _client(tracker)
    experiment = client.get_run(parent).info.experiment_id
    return client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")


def test_a_run_is_read_back_by_mlflow_as_it_was_written(tracker, parent, tmp_path):
    figure = tmp_path / "curve.png"
    figure.write_bytes(b"png")
    record = RunRecord("UTS01 qa", {"alpha": 1.5}, {"mean_r": 0.25, "low": math.nan}, {"dvc.a": "md5"}, (figure,))
    run = _client(tracker).get_run(tracker.log_run("encode", record, parent))
    assert run.info.run_name == "UTS01 qa"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"alpha": "1.5"}
    assert run.data.metrics == {"mean_r": 0.25}
    assert run.data.tags["dvc.a"] == "md5"
    assert run.data.tags["mlflow.parentRunId"] == parent
    copy = tmp_path / "mlruns" / "artifacts" / "encode" / run.info.run_id / "artifacts" / "curve.png"
    assert copy.read_bytes() == b"png"


def test_the_parent_is_found_again_by_its_key(tracker, parent):
    again = Tracker(tracker.mlruns)
    assert (
        again.parent_run("encode", "miniature", "encode miniature", {"delays": [1, 2]}, {"git.commit": "def"}) == parent
    )
    assert _client(tracker).get_run(parent).data.tags["git.commit"] == "def"
    assert again.parent_run("encode", "lebel's", "encode lebel", {"delays": [1, 2]}, {}) != parent


def test_other_parameters_make_another_parent_and_keep_the_old_one(tracker, parent):
    tracker.log_run("encode", RunRecord("UTS01 qa"), parent)
    other = tracker.parent_run("encode", "miniature", "encode miniature", {"delays": [1, 2, 3]}, {})
    assert other != parent
    assert len(_children(tracker, parent)) == 1


def test_a_rerun_supersedes_the_run_of_the_same_name_only(tracker, parent):
    records = [RunRecord("UTS01 qa", metrics={"r": 0.1}), RunRecord("UTS02 qa", metrics={"r": 0.2})]
    first = tracker.log_runs("encode", records, parent)
    again = tracker.log_run("encode", RunRecord("UTS01 qa", metrics={"r": 0.3}), parent)
    assert {run.info.run_id for run in _children(tracker, parent)} == {again, first[1]}
    assert _client(tracker).get_run(first[0]).info.lifecycle_stage == "deleted"


def test_runs_of_one_name_under_two_parents_do_not_touch_each_other(tracker, parent):
    other = tracker.parent_run("encode", "lebel", "encode lebel", {}, {})
    tracker.log_run("encode", RunRecord("qa"), parent)
    tracker.log_run("encode", RunRecord("qa"), other)
    assert len(_children(tracker, parent)) == len(_children(tracker, other)) == 1


def test_a_run_without_a_parent_supersedes_its_own_kind_only(tracker, parent):
    child = tracker.log_run("encode", RunRecord("qa"), parent)
    alone = tracker.log_run("encode", RunRecord("qa"))
    newer = tracker.log_run("encode", RunRecord("qa"))
    states = {run_id: _client(tracker).get_run(run_id).info.lifecycle_stage for run_id in (child, alone, newer, parent)}
    assert states == {child: "active", alone: "deleted", newer: "active", parent: "active"}


def test_a_failed_rerun_leaves_the_old_run_and_no_half_of_the_new_one(tracker, parent, tmp_path):
    old = tracker.log_run("encode", RunRecord("qa", metrics={"r": 0.1}), parent)
    with pytest.raises(BadInput, match=r"missing\.png does not exist"):
        tracker.log_run("encode", RunRecord("qa", metrics={"r": 0.2}, files=(tmp_path / "missing.png",)), parent)
    assert [run.info.run_id for run in _children(tracker, parent)] == [old]


def test_a_hundred_runs_at_once(tracker, parent):
    metrics = {f"m{i}": i / 7 for i in range(10)}
    records = [RunRecord(f"subset {i}", {"n_questions": i}, metrics | {"r": i / 100}) for i in range(100)]
    run_ids = tracker.log_runs("encode", records, parent)
    found = {run.info.run_id: run for run in _children(tracker, parent)}
    assert set(run_ids) == set(found)
    assert [found[run_id].data.metrics["r"] for run_id in run_ids] == [i / 100 for i in range(100)]


def test_more_metrics_and_parameters_than_one_batch_holds(tracker, parent):
    record = RunRecord("many", {f"p{i}": i for i in range(230)}, {f"m{i}": i for i in range(310)})
    run = _client(tracker).get_run(tracker.log_run("encode", record, parent))
    assert len(run.data.params) == 230
    assert run.data.metrics["m309"] == 309


def test_metrics_and_files_are_added_to_a_run(tracker, parent, tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("a,b\n")
    tracker.add(parent, {"best_r": 0.5}, [table])
    assert _client(tracker).get_run(parent).data.metrics == {"best_r": 0.5}
    assert [item.path for item in _client(tracker).list_artifacts(parent)] == ["scores.csv"]


def test_a_deleted_experiment_comes_back(tracker, parent):
    client = _client(tracker)
    client.delete_experiment(client.get_run(parent).info.experiment_id)
    run_id = tracker.log_run("encode", RunRecord("qa"))
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_the_folder_keeps_itself_out_of_git(tracker, parent):
    assert (tracker.mlruns / ".gitignore").read_text() == "*\n!.gitignore\n"
    assert tracker.uri in tracker.ui_command(port=5012)
    assert {"127.0.0.1", "5012"} < set(tracker.ui_command(port=5012))
