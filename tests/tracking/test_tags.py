from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from qaemb.errors import BadInput
from qaemb.tracking import data_tags

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


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    return tmp_path


def test_md5s_come_from_dvc_lock_and_outputs_win_over_dependencies(project):
    tags = data_tags(project, [FEATURES, project / SCORES, Path("data/unknown")])
    assert tags == {"dvc.data/work/features/qa": "new.dir", "dvc.data/work/encoding/qa": "scores.dir"}


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


def test_a_broken_dvc_lock_is_named(project):
    (project / "dvc.lock").write_text("stages: [unclosed")
    with pytest.raises(BadInput, match=r"dvc\.lock can't be read"):
        data_tags(project, [FEATURES])


def test_paths_outside_the_project_keep_their_name(project):
    assert data_tags(project, [Path("/nowhere/else")]) == {}
