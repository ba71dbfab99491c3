"""Versions travel: pushed to a folder and to an S3 server, pulled by a clone, gone back to, compared, found from a run.

A small copy of the project: five stories, one listener of 60 voxels, the student's answers, one encoding model.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pandas as pd
import pytest
import s3fs
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from moto.server import ThreadedMotoServer

from qaemb.tracking.tags import _content_md5

from .projects import answered_now, copy_project, edit, metrics, stages_run, succeed

JOB, MODEL = "student_tr", "qa"
ANSWERS, FEATURES = f"data/work/answers/{JOB}", f"data/work/features/{MODEL}"
SCORES = f"reports/metrics/encode/{MODEL}.json"
TRAVELS = (
    "data/work/miniature",
    "data/work/segments/tr",
    "data/work/questions",
    ANSWERS,
    FEATURES,
    f"data/work/encoding/{MODEL}",
    f"reports/metrics/answers/{JOB}.json",
    f"reports/metrics/validate/{JOB}.json",
    SCORES,
)
NOT_NEEDED = ("distill", "interpret", "select", "publish", "report")
SPOON = """  - name: spoon
    text: Does the text mention a spoon?
    yes_example: She stirred the soup with a wooden spoon.
    no_example: She stirred the soup.
"""
KEY, SECRET = token_hex(8), token_hex(16)  # made here: the copies of the project hold this file, too

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first version: committed, run, and committed with the lock file that the run wrote (tag v1)."""
    folder = copy_project(tmp_path_factory.mktemp("versions"))
    (folder / "dvc.lock").unlink()
    _make_small(folder)
    _commit(folder, "sources of the first version")
    succeed("dvc", "repro", cwd=folder)
    _commit(folder, "the first version", "v1")
    return folder


@pytest.fixture(scope="module")
def first(project: Path) -> dict[str, str]:
    return _digests(project)


@pytest.fixture(scope="module")
def both(project: Path, first: dict[str, str]) -> Path:
    """The project at its second version (tag v2): a question more in the bank and another parameter."""
    bank = project / "data" / "questions" / "bank" / "food.yaml"
    bank.write_text(bank.read_text().rstrip("\n") + "\n" + SPOON)
    edit(project / "params.yaml", "n_permutations: 20", "n_permutations: 30")
    succeed("dvc", "repro", cwd=project)
    n_segments = len(pd.read_parquet(project / ANSWERS / "margin.parquet"))
    assert answered_now(project, JOB) == n_segments  # one question more costs one column
    _commit(project, "the second version", "v2")
    return project


@pytest.fixture
def at_second(both: Path) -> Iterator[Path]:
    """The project at its second version, to which it is brought back after the test."""
    yield both
    _go_to(both, "v2")


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an S3 server with the bucket `versions`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=address, skip_instance_cache=True).mkdir("versions")
    yield address
    server.stop()


def test_a_clone_pulls_from_a_folder_and_has_nothing_to_do(both: Path, tmp_path: Path) -> None:
    _use_folder(both, tmp_path / "remote")
    succeed("dvc", "push", cwd=both)
    clone = _clone(both, tmp_path / "clone")
    _use_folder(clone, tmp_path / "remote")
    succeed("dvc", "pull", cwd=clone)
    _assert_complete(clone, _digests(both))


def test_a_clone_pulls_from_an_s3_server_and_has_nothing_to_do(
    both: Path, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("dvc", "remote", "add", "--force", "s3", "s3://versions/qaemb", cwd=both)
    succeed("dvc", "remote", "modify", "s3", "endpointurl", s3, cwd=both)
    with monkeypatch.context() as environment:  # the credentials once in the environment, once in .dvc/config.local
        environment.setenv("AWS_ACCESS_KEY_ID", KEY)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        succeed("dvc", "push", "--remote", "s3", cwd=both)
    _commit(both, "where the data are")
    clone = _clone(both, tmp_path / "clone")
    succeed("dvc", "remote", "modify", "--local", "s3", "access_key_id", KEY, cwd=clone)
    succeed("dvc", "remote", "modify", "--local", "s3", "secret_access_key", SECRET, cwd=clone)
    succeed("dvc", "pull", "--remote", "s3", cwd=clone)
    _assert_complete(clone, _digests(both))
    assert SECRET in (clone / ".dvc" / "config.local").read_text()
    assert SECRET not in succeed("git", "log", "-p", "--all", cwd=clone)


def test_one_added_question_costs_one_column(both: Path) -> None:
    _go_to(both, "v1")
    before = pd.read_parquet(both / ANSWERS / "margin.parquet")
    _go_to(both, "v2")
    after = pd.read_parquet(both / ANSWERS / "margin.parquet")
    assert set(after.columns) - set(before.columns) == {"spoon"}
    assert metrics(both, "answers", JOB)["cells"] == after.shape[0] * (after.shape[1] - 1)
    pd.testing.assert_frame_equal(after[before.columns], before)


def test_going_back_brings_back_every_byte_and_answers_nothing(at_second: Path, first: dict[str, str]) -> None:
    changed = {name for name, digest in _digests(at_second).items() if first[name] != digest}
    assert changed >= {"data/work/questions", ANSWERS, FEATURES, SCORES}
    _go_to(at_second, "v1")
    assert _digests(at_second) == first
    assert stages_run(succeed("dvc", "repro", cwd=at_second)) == []
    assert _digests(at_second) == first
    # Even a run that is forced finds every answer in the store, and writes the same files.
    succeed("dvc", "repro", "--force", "--single-item", f"answers@{JOB}", cwd=at_second)
    assert answered_now(at_second, JOB) == 0
    assert _digests(at_second) == first
    assert succeed("git", "status", "--porcelain", "dvc.lock", cwd=at_second) == ""
    _go_to(at_second, "v1")


def test_a_clone_pulls_an_older_version(both: Path, first: dict[str, str], tmp_path: Path) -> None:
    _use_folder(both, tmp_path / "remote")
    succeed("dvc", "push", "--all-tags", cwd=both)
    clone = _clone(both, tmp_path / "clone")
    _use_folder(clone, tmp_path / "remote")
    succeed("git", "checkout", "-q", "v1", cwd=clone)
    succeed("dvc", "pull", cwd=clone)
    _assert_complete(clone, first)


def test_diffs_between_two_versions_name_what_changed(both: Path) -> None:
    numbers = _json(succeed("dvc", "metrics", "diff", "v1", "v2", "--json", cwd=both))
    cells = numbers[f"reports/metrics/answers/{JOB}.json"]["cells"]
    assert cells["diff"] == len(pd.read_parquet(both / ANSWERS / "margin.parquet")) > 0
    assert numbers[SCORES]["UTS01.mean_r"]["diff"] != 0
    params = _json(succeed("dvc", "params", "diff", "v1", "v2", "--json", cwd=both))
    assert params == {"params.yaml": {"encode.n_permutations": {"old": 20, "new": 30, "diff": 10}}}
    data = json.loads(succeed("dvc", "diff", "v1", "v2", "--json", cwd=both))
    assert {"data/work/questions/", f"{ANSWERS}/"} <= {entry["path"] for entry in data["modified"]}


@pytest.mark.parametrize(("version", "permutations", "dirty"), [("v1", "20", "false"), ("v2", "30", "true")])
def test_a_run_leads_back_to_its_commit_and_data(at_second: Path, version: str, permutations: str, dirty: str) -> None:
    tags = _run_of_encode(at_second, permutations).data.tags
    assert tags["git.dirty"] == dirty
    assert tags["dvc.stage"] == f"encode@{MODEL}"
    assert tags["git.commit"] == _commits(at_second, f"{version}~1")
    recorded = _first_with(at_second, tags[f"dvc.{SCORES}"])
    assert recorded == _commits(at_second, version)
    _go_to(at_second, recorded)
    inputs = ("data/work/dataset", FEATURES)
    lock = (at_second / "dvc.lock").read_text()
    for name in (*inputs, SCORES):
        assert tags[f"dvc.{name}"] in lock
        assert _content_md5(at_second / name) == tags[f"dvc.{name}"]


def _make_small(folder: Path) -> None:
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    del pipeline["plots"]
    for stage in NOT_NEEDED:
        del pipeline["stages"][stage]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    own = yaml.safe_load((folder / "params.yaml").read_text())
    own["miniature"] |= {"n_subjects": 1, "n_voxels": 60, "n_repeats": [3]}
    own["dataset"] |= {"subjects": ["UTS01"], "train_stories": ["bakeryflood", "nighttrain", "chessvisit"]}
    own["segments"] = {"tr": own["segments"]["tr"]}
    own["model"] = {"minilm": own["model"]["minilm"]}
    own["answers"]["spec"] = {"student": own["answers"]["spec"]["student"]}
    own["answers"]["jobs"] = {JOB: {"answerer": "student", "segmentation": "tr", "set": "full"}}
    own["features"]["spaces"] = {MODEL: {"kind": "qa", "job": JOB, "input": f"data/work/validation/{JOB}"}}
    own["encode"] |= {"n_folds": 3, "n_permutations": 20, "spaces": {MODEL: [MODEL]}}
    own["interpret"]["models"] = own["select"]["spaces"] = [MODEL]
    own["distill"]["students"] = {}
    own["downstream"]["tasks"] = {}
    own["validate"].pop("drift")
    own["publish"]["job"], own["report"]["map_space"] = JOB, MODEL
    (folder / "params.yaml").write_text(yaml.safe_dump(own, sort_keys=False))


def _commit(folder: Path, message: str, tag: str | None = None) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    succeed("git", "add", "--all", cwd=folder)
    succeed("git", *who, "commit", "-q", "-m", message, cwd=folder)
    if tag:
        succeed("git", "tag", tag, cwd=folder)


def _commits(folder: Path, revision: str) -> str:
    return succeed("git", "rev-parse", f"{revision}^{{commit}}", cwd=folder).strip()


def _first_with(folder: Path, md5: str) -> str:
    """Return the oldest commit whose dvc.lock has a digest."""
    found = succeed("git", "log", "--all", "--reverse", "--format=%H", f"-S{md5}", "--", "dvc.lock", cwd=folder)
    return found.split()[0]


def _go_to(folder: Path, revision: str) -> None:
    """Bring a version back, in place of what a run has written since."""
    succeed("git", "checkout", "-q", "--force", revision, cwd=folder)
    succeed("dvc", "checkout", "--force", cwd=folder)


def _clone(project: Path, target: Path) -> Path:
    succeed("git", "clone", "-q", str(project), str(target), cwd=project.parent)
    return target


def _use_folder(project: Path, remote: Path) -> None:
    succeed("dvc", "remote", "add", "--local", "--default", "--force", "folder", str(remote), cwd=project)


def _digests(folder: Path) -> dict[str, str]:
    return {name: _content_md5(folder / name) for name in TRAVELS}


def _assert_complete(clone: Path, expected: dict[str, str]) -> None:
    assert _digests(clone) == expected
    assert json.loads(succeed("dvc", "status", "--json", cwd=clone)) == {}
    assert stages_run(succeed("dvc", "repro", cwd=clone)) == []
    assert succeed("git", "status", "--porcelain", cwd=clone) == ""
    assert not (clone / "data" / "store").exists()


def _json(printed: str) -> dict:
    """Return the differences that `dvc ... diff --json` prints, with or without the frame of newer versions."""
    found = json.loads(printed)
    return found.get("diff", found)


def _run_of_encode(folder: Path, permutations: str) -> Run:
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("encode miniature")
    runs = client.search_runs([experiment.experiment_id], f"params.n_permutations = '{permutations}'")
    (run,) = [run for run in runs if run.info.run_name == f"{MODEL} UTS01"]
    return run
