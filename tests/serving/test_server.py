"""Feast's own commands on a published repository: plain `feast apply` and a real `feast serve`."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.serving import ServedFeatures, build_store, historical_features, open_store, push_source_name, read_manifest

FEAST = str(Path(sys.executable).with_name("feast"))
PUSHED = {
    "segment": ["new"],
    "margins": [[float(n) for n in range(12)]],
    "event_timestamp": ["2026-03-15T00:00:00+00:00"],
}
CORE = ["q07", "q02", "q05", "q11"]


def _post(url: str, body: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read() or "null")


def _wait_until_up(url: str, server: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
        else:
            return
    pytest.fail("the server did not come up")


@pytest.mark.slow
def test_feast_apply_finds_the_services_and_keeps_what_is_served(published, tmp_path):
    repo = tmp_path / "repo"
    shutil.copytree(published.repo, repo)
    applied = subprocess.run([FEAST, "apply"], cwd=repo, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, applied.stderr
    store = open_store(repo)
    assert {"core", "full"} < {service.name for service in store.list_feature_services()}
    rows = [{"segment": published.segments[0]}]
    table = store.get_online_features(features=store.get_feature_service("core"), entity_rows=rows).to_df()
    assert np.array_equal(table[CORE].to_numpy(np.float32)[0], published.margins[0, [7, 2, 5, 11]])


@pytest.mark.slow
def test_feast_serve_answers_and_takes_pushes_on_loopback(published, tmp_path):
    repo = tmp_path / "repo"
    shutil.copytree(published.repo, repo)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    source = push_source_name(read_manifest(repo).version)
    service = next(own.service for own in read_manifest(repo).versions if own.set_name == "core")
    command = [FEAST, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=repo, stdout=log, stderr=log) as server:
        try:
            _wait_until_up(url, server)
            _post(f"{url}/push", {"push_source_name": source, "df": PUSHED, "to": "online_and_offline"})
            asked = {"segment": [published.segments[0], "new", "never seen"]}
            reply = _post(f"{url}/get-online-features", {"feature_service": "core", "entities": asked})
            body = {"feature_service": service, "entities": asked}
            assert _post(f"{url}/get-online-features", body)["results"] == reply["results"]
            with pytest.raises(urllib.error.HTTPError) as refused:
                _post(f"{url}/get-online-features", {"feature_service": "gold", "entities": asked})
        finally:
            server.terminate()
            server.wait(30)
    names = reply["metadata"]["feature_names"]
    values = {name: result["values"] for name, result in zip(names, reply["results"], strict=True)}
    served = np.float32([values[name][:2] for name in CORE]).T
    assert np.array_equal(served, np.stack([published.margins[0, [7, 2, 5, 11]], np.float32([7, 2, 5, 11])]))
    assert [values[name][2] for name in CORE] == [None] * 4
    assert refused.value.code == 404

    asked = pd.DataFrame({"segment": "new", "event_timestamp": pd.to_datetime(["2026-03-01", "2026-04-01"], utc=True)})
    for name in ("core", service):
        table = historical_features(repo, asked, name, missing="nan")
        assert np.array_equal(table[CORE], np.float32([[np.nan] * 4, [7, 2, 5, 11]]), equal_nan=True)
    # What was pushed stays when the matrix is published again.
    build_store(repo, read_manifest(repo), published.segments, published.margins)
    assert np.array_equal(ServedFeatures(repo).features_of(["new"], "core"), np.float32([[7, 2, 5, 11]]))
