"""A smoke run of the serving benchmark: every operation answers rightly, and the headline follows from the figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.serving import __main__ as bench
from benchmarks.serving import repositories as repos
from benchmarks.serving.operations import OPERATIONS, Job
from benchmarks.serving.table import headline, tables
from qaemb.serving import ServedFeatures

SIZE = {"n_segments": 30, "n_questions": 40}


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "repo"
    repos.publish(folder, **SIZE)
    return folder


def _job(operation, folder, **own):
    return Job(operation, str(folder), **SIZE, **own)


@pytest.mark.parametrize("asked", [repos.ALL, repos.PART])
@pytest.mark.parametrize("operation", ["features_for", "service"])
def test_a_look_up_is_checked_and_timed(repo, operation, asked):
    times = OPERATIONS[operation](_job(operation, repo, asked=asked, size=7, calls=6))
    assert len(times) == 6
    assert min(wall for wall, _ in times) > 0


def test_what_is_read_is_what_was_made_up(repo):
    served = ServedFeatures(repo).features_for(repos.texts(range(4, 6)), repos.PART)
    assert served.shape == (2, repos.N_PART)
    np.testing.assert_array_equal(served.to_numpy(), repos.margins(range(4, 6), 40)[:, : repos.N_PART])


def test_plain_feast_answers_online_and_historically(tmp_path):
    job = _job("plain_write", tmp_path / "plain", asked=repos.PART, size=7, calls=6)
    for operation in ("plain_write", "plain_materialise", "service", "historical_service"):
        assert min(wall for wall, _ in OPERATIONS[operation](job)) > 0


def test_a_wrong_answer_ends_the_benchmark(repo, monkeypatch):
    monkeypatch.setattr(repos, "margins", lambda rows, n: np.zeros((len(rows), n), np.float32))
    with pytest.raises(AssertionError, match="Mismatched elements"):
        OPERATIONS["features_for"](_job("features_for", repo, size=3, calls=6))


def test_percentiles_are_of_milliseconds():
    found = bench.percentiles([0.001] * 99 + [0.1])
    assert (found["p50_ms"], found["p99_ms"], found["calls"]) == (1.0, pytest.approx(1.99, abs=0.01), 100)


@pytest.mark.slow
def test_a_smoke_run_writes_its_result(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "WORK", tmp_path)
    bench.main(["--quick"])
    written = json.loads((tmp_path / "serving.json").read_text())
    assert written["headline"] == headline(written["figures"])
    assert all(value > 0 for value in written["headline"].values())
    text = tables(written["figures"], written["settings"])
    assert "| 1 x 35, 1 client |" in text
    assert f"| 100 x 35, 2 clients | {written['figures']['http']['few']['100x35 2 clients']['p50_ms']:.1f} /" in text
