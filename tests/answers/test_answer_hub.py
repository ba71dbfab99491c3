"""Models from the Hugging Face Hub: a server on this machine that speaks what a download needs, and no Hub at all."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

from qaemb.models.folder import INFO_FILE, read_model_info
from qaemb.settings import HubModelSettings, ModelSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = {"source": "hub", "repo": "someone/small", "revision": "v1", "kind": "encoder"}
MAKE = """
import sys
from pathlib import Path
from qaemb.errors import BadInput
from qaemb.models.folder import make_model
from qaemb.settings import ModelSettings

try:
    settings = ModelSettings(source="hub", repo="someone/small", revision=sys.argv[1], kind="encoder")
    make_model("small", settings, Path(sys.argv[2]))
except BadInput as error:
    print(f"BadInput: {error}")
"""


class Hub(ThreadingHTTPServer):
    """A hub with one repository of one commit and the tag `v1`, its files in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.folder = folder
        self.sent: set[str] = set()


class _Requests(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/models/someone/small/revision/v1":
            self._json({"id": "someone/small", "sha": COMMIT, "siblings": [], "private": False, "tags": []})
        elif path.startswith(f"/api/models/someone/small/tree/{COMMIT}"):
            files = sorted(p for p in self.server.folder.rglob("*") if p.is_file())
            self._json(
                [
                    {
                        "type": "file",
                        "path": p.relative_to(self.server.folder).as_posix(),
                        "size": p.stat().st_size,
                        "oid": _oid(p),
                    }
                    for p in files
                ]
            )
        elif path.startswith(f"/someone/small/resolve/{COMMIT}/"):
            self._file(path.partition(f"{COMMIT}/")[2])
        else:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _file(self, name: str) -> None:
        path = self.server.folder / name
        if self.command == "GET":
            self.server.sent.add(name)
        self._send(200, path.read_bytes(), {"ETag": f'"{_oid(path)}"', "X-Repo-Commit": COMMIT})

    def _json(self, values: object) -> None:
        self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(tiny_encoder, tmp_path) -> Iterator[Hub]:
    folder = tmp_path / "repository"
    folder.mkdir()
    for path in tiny_encoder.iterdir():
        if path.name != INFO_FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, never fetched")
    (folder / "modeling_small.py").write_text("raise SystemExit('code of a model is never run')")
    server = Hub(folder)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def make(folder: Path, cache: Path, revision: str = "v1", **environment: str) -> str:
    """In a process of its own, as the Hub's client reads its environment once."""
    unset = {"HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"}
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    variables |= {"HF_HUB_CACHE": str(cache), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-c", MAKE, revision, str(folder)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_model_of_the_hub_is_the_model_and_only_its_files_are_fetched(hub, tiny_encoder, tmp_path):
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    assert make(tmp_path / "made", tmp_path / "cache", HF_ENDPOINT=endpoint) == ""
    info, source = read_model_info(tmp_path / "made"), read_model_info(tiny_encoder)
    assert (info.digest, info.n_parameters) == (source.digest, source.n_parameters)
    assert (info.source, info.package, info.version) == ("hub", "someone/small", "v1")
    assert "model.safetensors" in hub.sent
    assert not {"pytorch_model.bin", "modeling_small.py"} & hub.sent
    hub.sent.clear()
    by_commit = make(tmp_path / "again", tmp_path / "cache", COMMIT, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
    assert by_commit == ""  # what is in the cache needs no Hub
    assert not hub.sent
    assert read_model_info(tmp_path / "again").digest == source.digest


def test_a_revision_that_is_not_there_is_named(hub, tmp_path):
    said = make(tmp_path / "made", tmp_path / "cache", "v9", HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}")
    assert said.startswith("BadInput: model.small: someone/small at revision v9 can't be downloaded")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_the_hub_the_ways_out_are_named(tmp_path, environment):
    said = make(tmp_path / "made", tmp_path / "cache", **environment)
    assert said.startswith("BadInput: model.small: someone/small at revision v1 can't be downloaded")
    for way_out in ("hf download someone/small --revision v1", "source: folder", "HF_HUB_CACHE", "HF_ENDPOINT"):
        assert way_out in said
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revision": None}, "`revision` belongs to source `hub`, and that source needs it: the commit or tag"),
        ({"revision": "main"}, "revision `main` is a branch, which moves; give the commit"),
        ({"repo": None}, "`repo` belongs to source `hub`, and that source needs it: OWNER/NAME"),
        ({"repo": "../x/y"}, "repo"),
        ({"source": "folder", "path": "x"}, "`repo` belongs to source `hub`"),
        ({"source": "wheel", "package": "p", "version": "1"}, "`repo` belongs to source `hub`"),
    ],
)
def test_settings_of_the_hub_that_are_wrong_are_named(change, message):
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(HUB | change)


def test_a_section_is_of_the_class_of_its_source():
    assert isinstance(ModelSettings(**HUB), HubModelSettings)
    old = {"source": "folder", "package": None, "packages": [], "version": None, "path": "x", "kind": "encoder"}
    assert ModelSettings(**old).origin == "folder x"  # as records of former versions have them: all keys, some empty
