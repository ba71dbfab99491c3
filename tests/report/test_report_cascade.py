"""A cascade in the report: never named without what it approximates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from qaemb.files import read_json
from qaemb.report import render
from qaemb.settings import AnswererSettings, AnswersJob
from qaemb.stages.report import gather, summary

from .conftest import write_json

CLAIM = "approximates `llm`: at least 0.95 of the cells are answered as it would; 120 of 200 calls saved (60.0 %)"


@pytest.fixture
def settings(settings):
    """The job `llm_sentence`, answered by a cascade."""
    members = {"student": "small", "teacher": "llm", "thresholds": "data/cascades/fast.json"}
    spec = settings.answers.spec | {
        "small": AnswererSettings(engine="student", model="llm"),
        "frugal": AnswererSettings.model_validate({"engine": "cascade", "cascade": members}),
    }
    jobs = settings.answers.jobs | {"llm_sentence": AnswersJob(answerer="frugal", segmentation="sentence", set="quick")}
    answers = settings.answers.model_copy(update={"spec": spec, "jobs": jobs})
    return settings.model_copy(update={"answers": answers})


@pytest.fixture
def outputs(workspace, write_outputs):
    write_outputs()
    path = workspace.answers("llm_sentence") / "spec.json"
    models = {"members": ["small", "llm"], "model": [{"name": "mini"}, None], "model_digest": ["d", None]}
    write_json(path, read_json(path) | models | {"approximates": {"answerer": "llm", "claim": CLAIM}})
    write_json(workspace.metrics("validate", "llm_sentence"), {"mean_auc": 0.7})


def test_the_page_says_whom_it_approximates_wherever_it_is_named(settings, workspace, outputs):
    findings = gather(settings, workspace)
    job = {job.job: job for job in findings.jobs}["llm_sentence"]
    assert job.answerer == "frugal (approximates llm)"
    assert (job.engine, job.model, job.model_digest) == ("cascade", "small (mini), llm", None)
    page = render(replace(findings, maps=()), defaultdict(bytes))
    assert CLAIM in page
    assert page.count("frugal") == page.count("frugal (approximates llm)") > 2


def test_the_summary_says_it_too(settings, workspace, outputs, capsys):
    summary(settings, workspace)
    assert "  frugal (approximates llm) answers clearly better" in capsys.readouterr().out


def test_other_answerers_keep_their_names(settings, workspace, outputs):
    job = {job.job: job for job in gather(settings, workspace).jobs}["llm_tr"]
    assert (job.answerer, job.approximates) == ("llm", None)
