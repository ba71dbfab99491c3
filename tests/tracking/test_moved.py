from __future__ import annotations

import shutil

import pytest
from mlflow.tracking import MlflowClient

from qaemb.errors import BadInput
from qaemb.tracking import RunRecord, Tracker
from qaemb.tracking.tracker import _follow_move


def test_files_of_runs_are_found_after_the_project_has_moved(new_tracker, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new place"
    table = tmp_path / "scores.csv"
    table.write_text("r\n0.5\n")
    run_id = new_tracker(old / "mlruns").log_run("encode", RunRecord("qa", files=(table,)))
    shutil.move(old, new)

    tracker = Tracker(new / "mlruns")
    tracker.ui_command()  # enough to correct the database: whoever opens the UI sees the files
    client = MlflowClient(tracking_uri=tracker.uri)
    assert [item.path for item in client.list_artifacts(run_id)] == ["scores.csv"]
    later = tracker.log_run("encode", RunRecord("later", files=(table,)))
    assert (new / "mlruns" / "artifacts" / "encode" / later / "artifacts" / "scores.csv").exists()
    assert not old.exists()


def test_places_that_the_tracker_did_not_choose_are_left_alone(new_tracker, tmp_path):
    tracker = new_tracker(tmp_path / "mlruns")
    tracker.log_run("encode", RunRecord("qa"))
    client = MlflowClient(tracking_uri=tracker.uri)
    elsewhere = (tmp_path / "share" / "artifacts" / "x").as_uri()
    experiment = client.create_experiment("elsewhere", artifact_location=elsewhere)
    assert _follow_move(tmp_path / "mlruns") == []
    assert client.get_experiment(experiment).artifact_location == elsewhere


def test_no_database_means_nothing_to_do(tmp_path):
    assert _follow_move(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, but long enough to be looked at" * 10)
    with pytest.raises(BadInput, match=r"mlflow\.db is not a readable MLflow database"):
        _follow_move(tmp_path)
