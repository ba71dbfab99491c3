from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from qaemb.errors import BadInput
from qaemb.tracking import data_tags
from qaemb.tracking.tags import _content_md5

LOCK = {
    "schema": "2.0",
    "stages": {
        "encode@qa": {
            "cmd": "qaemb encode --name qa",
            "deps": [{"path": "data/work/features/qa", "hash": "md5", "md5": "old.dir"}],
            "outs": [{"path": "data/work/encoding/qa", "hash": "md5", "md5": "scores.dir"}],
        },
        "features@qa": {"cmd": "qaemb features", "outs": [{"path": "data/work/features/qa", "md5": "new.dir"}]},
    },
}
FEATURES, SCORES = Path("data/work/features/qa"), Path("data/work/encoding/qa")


def _git(root: Path, *arguments: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(root), *name, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


@pytest.fixture
def by_dvc(monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "encode@qa")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    return tmp_path


def test_md5s_come_from_dvc_lock_and_outputs_win_over_dependencies(project, by_dvc):
    tags = data_tags(project, [FEATURES, project / SCORES, Path("data/unknown")])
    assert tags == {
        "dvc.data/work/features/qa": "new.dir",
        "dvc.data/work/encoding/qa": "scores.dir",
        "dvc.stage": "encode@qa",
    }


def test_by_hand_an_input_is_what_lies_there_not_what_dvc_lock_says(project):
    (project / FEATURES).mkdir(parents=True)
    (project / FEATURES / "features.parquet").write_bytes(b"other features")
    tags = data_tags(project, [FEATURES, SCORES])
    assert tags == {"dvc.data/work/features/qa": _content_md5(project / FEATURES)}
    assert tags["dvc.data/work/features/qa"] != "new.dir"


def test_a_result_is_told_by_its_content_whoever_runs_the_stage(project, by_dvc):
    metrics = project / "reports" / "qa.json"
    metrics.parent.mkdir()
    metrics.write_text("{}")
    tags = data_tags(project, [], [metrics])
    assert tags == {"dvc.reports/qa.json": hashlib.md5(b"{}").hexdigest(), "dvc.stage": "encode@qa"}


def test_content_has_the_md5_that_dvc_gives_it(tmp_path):
    data = tmp_path / "data"
    for name, content in {"b.txt": "b", "a/z.txt": "z", "a.txt": "a", "ä/ö.txt": "ö", "empty": ""}.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content)
    (tmp_path / "one.txt").write_text("one")
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1"}
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "data", "one.txt"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, env=quiet, check=True)
    for name in ("data", "one.txt"):
        known = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"][0]["md5"]
        assert _content_md5(tmp_path / name) == known


def test_without_git_and_dvc_lock_there_are_no_tags(tmp_path):
    assert data_tags(tmp_path, [FEATURES]) == {}


def test_a_repository_without_a_commit_has_no_git_tags(project):
    _git(project, "init", "-q")
    assert "git.commit" not in data_tags(project, [FEATURES])


def test_git_commit_and_dirty_ignore_what_a_run_writes(project):
    _git(project, "init", "-q")
    (project / "code.py").write_text("a = 1\n")
    _git(project, "add", ".")
    _git(project, "commit", "-q", "-m", "first")
    commit = _git(project, "rev-parse", "HEAD").strip()
    (project / "dvc.lock").write_text(yaml.safe_dump(LOCK | {"schema": "2.1"}))
    (project / "reports").mkdir()
    (project / "reports" / "index.html").write_text("report")
    assert data_tags(project, []) == {"git.commit": commit, "git.dirty": "false"}
    (project / "code.py").write_text("a = 2\n")
    assert data_tags(project, []) == {"git.commit": commit, "git.dirty": "true"}


def test_a_broken_dvc_lock_is_named(project, by_dvc):
    (project / "dvc.lock").write_text("stages: [unclosed")
    with pytest.raises(BadInput, match=r"dvc\.lock can't be read"):
        data_tags(project, [FEATURES])


def test_paths_outside_the_project_keep_their_name(project):
    assert data_tags(project, [Path("/nowhere/else")]) == {}
