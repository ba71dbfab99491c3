"""Forgetting a text: gone everywhere at once as far as anybody is served, and finished after a kill."""

import json
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from qaemb.cli import app
from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.serving import (
    ServedFeatures,
    build_store,
    forget,
    forgotten,
    historical_features,
    open_store,
    read_history,
    read_manifest,
)

from .test_versions import FIRST, MARCH, MARGINS, NOW, OTHER, at, make_repo

TEXTS = ["one", "two", "three"]
SEGMENTS = [text_id(text) for text in TEXTS]
GONE = SEGMENTS[1]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two answerers' answers to three texts, one after the other."""
    repo = make_repo(tmp_path_factory.mktemp("forget"))
    build_store(repo, OTHER, SEGMENTS, -MARGINS, at(MARCH))
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    return repo


@pytest.fixture
def repo(template, tmp_path):
    return shutil.copytree(template, tmp_path / "feature_repo")


def places(repo) -> dict[str, bool]:
    """Return for each file that holds margins whether it knows the segment that is to go."""
    files = [*(repo / "history").glob("*.parquet"), *(repo / "data").rglob("*.parquet")]
    found = {str(path.relative_to(repo)): GONE in set(pd.read_parquet(path)["segment"]) for path in files}
    online = (repo / "data" / "online_store.db").read_bytes()
    return found | {"online": GONE.encode() in online}


def assert_forgotten(repo) -> None:
    served = ServedFeatures(repo)
    assert not any(places(repo).values())
    assert served.unknown(TEXTS) == ["two"]
    np.testing.assert_array_equal(served.features_for(["one", "three"], "full"), MARGINS[[0, 2]])
    kept = [SEGMENTS[0], SEGMENTS[2]]
    for own, sign in ((FIRST, 1), (OTHER, -1)):
        service = own.versions[0].service
        asked = pd.DataFrame({"segment": SEGMENTS, "event_timestamp": NOW})
        table = historical_features(repo, asked, service, missing="nan").set_index("segment")
        assert table.loc[GONE, ["q2", "q0"]].isna().all()
        np.testing.assert_array_equal(table.loc[kept, ["q2", "q0"]], sign * MARGINS[[0, 2]][:, [2, 0]])


def test_a_forgotten_text_is_nowhere_and_does_not_come_back(repo):
    assert all(places(repo).values())
    assert forget(repo, ["two"]) == 2
    assert_forgotten(repo)
    assert forget(repo, ["two"]) == 0
    assert build_store(repo, FIRST, SEGMENTS, MARGINS, at(NOW)) == 0
    assert_forgotten(repo)


def test_a_history_that_is_brought_back_does_not_bring_it_back(repo, tmp_path):
    shutil.copytree(repo / "history", tmp_path / "older")
    forget(repo, ["two"])
    shutil.copytree(tmp_path / "older", repo / "history", dirs_exist_ok=True)
    for manifest, sign in ((OTHER, -1), (FIRST, 1)):
        assert build_store(repo, manifest, SEGMENTS, sign * MARGINS, at(NOW)) == 0
    assert_forgotten(repo)


def test_a_text_that_is_asked_for_again_is_served_again(repo):
    forget(repo, ["two"])

    class Answerer:
        key = "key-a"

        def answer(self, texts, questions, progress=None):
            from qaemb.answers import Answers

            return Answers(np.full((len(texts), 3), 5, np.float32), np.ones((len(texts), 3), np.float32))

    assert (ServedFeatures(repo).features_for(["two"], "full", Answerer()) == 5).all(axis=None)
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    assert (ServedFeatures(repo).features_for(["two"], "full") == 5).all(axis=None)
    assert forget(repo, ["two"]) > 0
    assert_forgotten(repo)


def test_a_server_that_runs_serves_it_no_more(repo):
    before = open_store(repo)
    forget(repo, ["two"])
    rows = before.get_online_features(
        features=before.get_feature_service("full"), entity_rows=[{"segment": GONE}, {"segment": SEGMENTS[0]}]
    ).to_dict()
    assert rows["q0"] == [None, 0.0]


@pytest.mark.parametrize("step", ["_delete_online", "write_history", "write_table", "write_json"])
def test_what_was_begun_is_finished_by_the_next_look_up(repo, monkeypatch, step):
    real, calls = getattr(forgotten, step), []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2 or step == "_delete_online":
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(forgotten, step, stop)
        with pytest.raises(KeyboardInterrupt):
            forget(repo, ["two"])
    assert_forgotten(repo)
    state = json.loads((repo / "data" / "forgotten.json").read_text())
    assert state == {"segments": [GONE], "pending": []}


KILLED = """
import os, signal, sys, time
from pathlib import Path
from qaemb.serving import forget, open_store

first, *repos = map(Path, sys.argv[1:])
forget(first, ["two"])  # imports what is needed, which the killed ones then share
for number, repo in enumerate(repos):
    child = os.fork()
    if child == 0:
        forget(repo, ["two"])
        os._exit(0)
    time.sleep(0.01 * number)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_all_or_what_is_finished_later(template, tmp_path):
    repos = [shutil.copytree(template, tmp_path / str(number) / "feature_repo") for number in range(16)]
    subprocess.run([sys.executable, "-c", KILLED, *map(str, repos)], check=True)
    states = {"nothing": 0, "begun": 0, "finished": 0}
    for repo in repos:
        path = repo / "data" / "forgotten.json"
        state = "nothing" if not path.exists() else "begun" if json.loads(path.read_text())["pending"] else "finished"
        states[state] += 1
        with sqlite3.connect(repo / "data" / "online_store.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if state == "nothing":
            assert all(places(repo).values())
            assert ServedFeatures(repo).unknown(TEXTS) == []
        else:
            assert_forgotten(repo)
    assert states["nothing"]
    assert states["begun"]


def test_what_cannot_be_forgotten_is_said(repo, tmp_path):
    with pytest.raises(BadInput, match="publishes nothing"):
        forget(tmp_path / "empty", ["two"])
    for wrong in ("", "  ", 3):
        with pytest.raises(BadInput, match="text number 0 is empty or no string"):
            forget(repo, [wrong])
    config = repo / "feature_store.yaml"
    config.write_text(config.read_text().replace("type: sqlite", "type: cassandra"))
    with pytest.raises(BadInput, match=r"feature_store\.yaml (names a store that Feast can't load|is not a config)"):
        forget(repo, ["two"])
    assert all(places(repo).values())


def test_the_command_says_what_remains(published, tmp_path, monkeypatch):
    monkeypatch.setattr("qaemb.cli.modelling.load", lambda: (None, published.workspace))
    shutil.copytree(published.repo, tmp_path / "kept")
    try:
        done = CliRunner().invoke(app, ["features", published.texts[3], "--forget"])
        assert done.exit_code == 0
        assert "forgotten: 1 texts, 1 rows of history" in done.output
        assert (
            "what remains: in data/store, where a job answered it, its margins under the hash of the text"
            in done.output
        )
        assert read_manifest(published.repo) is not None
        assert published.segments[3] not in set(read_history(published.repo / "history", "the-key")["segment"])
    finally:
        shutil.rmtree(published.repo)
        shutil.copytree(tmp_path / "kept", published.repo)
    listed = CliRunner().invoke(app, ["features", "--versions"])
    assert [line.split()[0] for line in listed.output.splitlines()[1:]] == [
        own.service for own in read_manifest(published.repo).versions
    ]
    assert CliRunner().invoke(app, ["features", "--forget"]).exit_code == 2
