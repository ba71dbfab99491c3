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
import pytest

from qaemb.serving import open_store, push_source_name, read_manifest

FEAST = str(Path(sys.executable).with_name("feast"))
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
    command = [FEAST, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=repo, stdout=log, stderr=log) as server:
        try:
            _wait_until_up(url, server)
            row = {"segment": ["new"], "margins": [[float(n) for n in range(12)]]}
            row["event_timestamp"] = ["2000-01-01T00:00:00+00:00"]
            _post(
                f"{url}/push",
                {"push_source_name": push_source_name(read_manifest(repo).version), "df": row, "to": "online"},
            )
            asked = {"feature_service": "core", "entities": {"segment": [published.segments[0], "new"]}}
            reply = _post(f"{url}/get-online-features", asked)
        finally:
            server.terminate()
            server.wait(30)
    names = reply["metadata"]["feature_names"]
    values = {name: result["values"] for name, result in zip(names, reply["results"], strict=True)}
    served = np.float32([values[name] for name in CORE]).T
    assert np.array_equal(served, np.stack([published.margins[0, [7, 2, 5, 11]], np.float32([7, 2, 5, 11])]))
