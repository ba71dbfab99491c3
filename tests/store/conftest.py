"""A small project with published answers, as the benchmarks of the store use it, and an S3 server."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are found from the project's root

from benchmarks.store.project import Project
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A job of 100 segments and 6 questions, in 4 blocks."""
    return Project(tmp_path / "project", n_segments=100, n_questions=6).write()


@pytest.fixture
def bought(project: Project) -> Project:
    """The same, answered."""
    answers(project.settings, Workspace(project.folder), "pub")
    return project


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket on a real S3-compatible server of this process; credentials are in the environment."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # it would go on talking to the server of the test before
    boto3.client("s3").create_bucket(Bucket="lab")
    yield "s3://lab/answers"
    server.stop()
