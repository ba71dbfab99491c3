"""The store on a real S3-compatible server: the same files, the same answers, the same care."""

import subprocess
import sys

import boto3
import numpy as np
import pytest

from benchmarks.store.project import COMMAND, Project
from qaemb.errors import StoreError
from qaemb.stages.answer_store import collect_garbage, repair, status, verify
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace


@pytest.fixture
def remote(tmp_path, s3) -> Project:
    return Project(tmp_path / "project", n_segments=100, n_questions=6).write(store=s3)


def run_job(project: Project) -> subprocess.CompletedProcess[str]:
    """Run the job by the command line, in a process of its own."""
    program = [sys.executable, "-c", "from qaemb.cli import main; main()", *COMMAND]
    return subprocess.run(program, cwd=project.folder, capture_output=True, text=True, check=False)


def objects() -> dict[str, bytes]:
    client = boto3.client("s3")
    found = client.list_objects_v2(Bucket="lab").get("Contents", [])
    return {one["Key"]: client.get_object(Bucket="lab", Key=one["Key"])["Body"].read() for one in found}


def test_the_command_fills_an_object_store_and_reads_it_again(remote, tmp_path):
    first, again = run_job(remote), run_job(remote)
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert "600 cells, 600 answered now" in first.stdout
    assert "600 cells, 0 answered now" in again.stdout
    local = Project(tmp_path / "local", n_segments=100, n_questions=6).write()
    answers(local.settings, Workspace(local.folder), "pub")
    names = {key.removeprefix(f"answers/{remote.store.key}/").rsplit("-", 1)[0] for key in objects()}
    assert names == {name.rsplit("-", 1)[0] for name in local.store.files()}  # the same blocks: dates differ
    for kind in ("margin", "mass"):
        one, other = (
            (project.folder / f"data/work/answers/pub/{kind}.parquet").read_bytes() for project in (remote, local)
        )
        assert one == other


def test_another_machine_finds_what_was_bought(remote, tmp_path, s3):
    answers(remote.settings, Workspace(remote.folder), "pub")
    elsewhere = Project(tmp_path / "elsewhere", n_segments=100, n_questions=6).write(store=s3)
    assert elsewhere.store.known(*elsewhere.ids).all()
    before = objects()
    answers(elsewhere.settings, Workspace(elsewhere.folder), "pub")
    assert objects() == before
    np.testing.assert_array_equal(elsewhere.store.read(*elsewhere.ids).margin, elsewhere.expected.margin)


def test_damage_is_found_and_repaired(remote, capsys):
    settings, workspace = remote.settings, Workspace(remote.folder)
    answers(settings, workspace, "pub")
    key = next(key for key in objects() if key.endswith(".parquet"))
    content = bytearray(objects()[key])
    content[len(content) // 2] ^= 1
    boto3.client("s3").put_object(Bucket="lab", Key=key, Body=bytes(content))
    with pytest.raises(StoreError, match="1 files of s3://lab/answers are damaged"):
        verify(settings, workspace)
    assert f"s3://lab/{key} is damaged" in capsys.readouterr().out
    repair(settings, workspace)
    verify(settings, workspace)
    assert remote.wrong() == []
    np.testing.assert_array_equal(remote.store.read(*remote.ids).margin, remote.expected.margin)


def test_status_and_gc(remote, capsys):
    settings, workspace = remote.settings, Workspace(remote.folder)
    answers(settings, workspace, "pub")
    status(settings, workspace)
    assert "1 answerers, 4 blocks" in capsys.readouterr().out
    boto3.client("s3").put_object(Bucket="lab", Key=f"answers/{'0' * 20}/spec.json", Body=b"{}")
    collect_garbage(settings, workspace, yes=False)
    assert "1 files of answerers that are not in params.yaml" in capsys.readouterr().out
    collect_garbage(settings, workspace, yes=True)
    assert all(remote.store.key in key for key in objects())
    assert remote.store.known(*remote.ids).all()


@pytest.mark.parametrize("wrong", ["bucket", "server"])
def test_what_is_wrong_with_the_address_is_said(remote, monkeypatch, wrong, tmp_path):
    if wrong == "bucket":
        project = Project(tmp_path / "other", n_segments=10, n_questions=2).write(store="s3://nobody/answers")
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        project = remote
    done = run_job(project)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qaemb: s3://")
    assert "check the address, the credentials and the network" in last


def test_an_unknown_kind_of_address_is_named(tmp_path):
    project = Project(tmp_path / "project", n_segments=10, n_questions=2).write(store="nosuch://x")
    done = run_job(project)
    assert done.returncode == 1
    assert "answers.store nosuch://x can't be opened" in done.stderr
