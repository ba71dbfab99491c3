from __future__ import annotations

import pytest

from qaemb.errors import BadInput
from qaemb.files import read_json
from qaemb.report.data import DriftFacts
from qaemb.report.jobs import JobPlaces, read_job
from qaemb.settings import AnswererSettings

from .conftest import write_json


@pytest.fixture
def read(settings, workspace, write_outputs):
    write_outputs()

    def read(name: str):
        places = JobPlaces(
            workspace.answers(name),
            workspace.validation(name),
            workspace.reports / "data_docs" / name,
            workspace.reports,
        )
        job = settings.answers.jobs[name]
        return read_job(name, job, settings.answers.spec[job.answerer], places)

    return read


def test_a_job_says_what_answered_and_how_well(read):
    job = read("llm_sentence")
    assert (job.answerer, job.engine, job.key, job.n_cells) == ("llm", "shared", "abc123def456", 200)
    assert job.mean_auc == pytest.approx((0.40 + 0.56 + 0.58) / 3)
    assert job.n_graded == 3
    assert job.data_docs == "data_docs/llm_sentence/index.html"
    assert job.margins.counts.sum() == 200


def test_a_job_without_gold_has_no_grade(read):
    assert read("llm_tr").mean_auc is None
    assert read("llm_tr").n_graded == 0


def test_a_job_that_was_not_validated_is_left_out(read, workspace):
    (workspace.validation("llm_tr") / "validation.json").unlink()
    assert read("llm_tr") is None


def test_grades_with_other_columns_are_named(read, workspace):
    (workspace.validation("llm_sentence") / "grades.csv").write_text("name,score\na,1\n")
    with pytest.raises(BadInput, match=r"grades\.csv lacks some of the columns"):
        read("llm_sentence")


def test_an_ensemble_shows_its_members_and_their_models(read, settings, workspace):
    own = AnswererSettings(engine="ensemble", members=["plain", "chat"])
    settings.answers.spec["llm"] = own
    path = workspace.answers("llm_tr") / "spec.json"
    lists = {"members": ["chat", "plain"], "model": [None, {"name": "llama"}], "model_digest": [None, "d" * 64]}
    write_json(path, read_json(path) | lists)
    job = read("llm_tr")
    assert (job.engine, job.model, job.model_digest) == ("ensemble", "plain (llama), chat", None)
    path.unlink()
    assert read("llm_tr").model == "plain, chat"


def test_a_server_without_a_local_model_shows_its_name_of_it(read, settings):
    server = {"url": "http://127.0.0.1:9/v1", "model": "served", "api": "chat"}
    own = AnswererSettings.model_validate({"engine": "server", "prompt": "text_first", "server": server})
    settings.answers.spec["llm"] = own
    assert read("llm_tr").model == "served"


def test_drift_is_said_with_its_page(read, workspace):
    assert read("llm_sentence").drift is None
    path = workspace.validation("llm_sentence") / "validation.json"
    checks = [{"success": True}] * 20 + [{"success": False}] * 2
    found = {"found": True, "said": "llm_sentence against reference r: 2 of 4 questions moved (a, b)"}
    write_json(path, read_json(path) | {"expectations": checks, "drift": found})
    assert read("llm_sentence").drift == DriftFacts(found["said"], True, None)
    (workspace.reports / "data_docs" / "llm_sentence" / "drift.html").write_text("<html></html>")
    job = read("llm_sentence")
    assert job.drift.page == "data_docs/llm_sentence/drift.html"
    assert job.n_checks == 20
