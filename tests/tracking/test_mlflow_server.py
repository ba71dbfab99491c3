from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from qaemb.tracking import RunRecord, Tracker

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(url: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        assert server.poll() is None, "the server ended by itself"
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the server did not come up")


@pytest.fixture
def served(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("r\n0.5\n")
    tracker = Tracker(tmp_path / "mlruns")
    parent = tracker.parent_run("encode", "miniature", "encode miniature", {"delays": [1]}, {})
    records = [RunRecord(f"UTS0{i} gold", metrics={"mean_r": i / 10}, files=(table,)) for i in (1, 2, 3)]
    children = tracker.log_runs("encode", records, parent)
    port = _free_port()
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            tracker.ui_command(port), env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, server)
        yield url, parent, children
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _call(url: str, body: dict | None = None) -> dict:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_the_server_shows_parent_children_and_files(served):
    url, parent, children = served
    api = f"{url}/api/2.0/mlflow"
    experiment = _call(f"{api}/experiments/get-by-name?experiment_name=encode")["experiment"]["experiment_id"]
    where = f"tags.`mlflow.parentRunId` = '{parent}'"
    runs = _call(f"{api}/runs/search", {"experiment_ids": [experiment], "filter": where})["runs"]
    scores = {run["info"]["run_id"]: run["data"]["metrics"][0]["value"] for run in runs}
    assert scores == {run_id: (i + 1) / 10 for i, run_id in enumerate(children)}
    files = _call(f"{api}/artifacts/list?run_id={children[0]}")["files"]
    assert [file["path"] for file in files] == ["scores.csv"]
