"""The stage `answers` on an ensemble: its members' cells are bought once, and its matrix is made of them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from qaemb.answers.engines.student import _ZeroShotAnswerer
from qaemb.errors import BadParameter
from qaemb.files import read_json, write_table
from qaemb.identity import text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswererSettings, AnswersJob, AnswersSettings, Settings
from qaemb.stages.answers import answers, plan_job
from qaemb.stages.prompts import Sample, show_prompt
from qaemb.workspace import Workspace

from .conftest import TEXTS, spec_for

BANK = [Question("food", "Does the text mention food?"), Question("animal", "Is an animal named?")]
N_CELLS = len(TEXTS) * len(BANK)
SERVER = {"url": "http://127.0.0.1:9/v1", "model": "m", "api": "chat"}
CHAT = {"engine": "server", "prompt": "text_first", "server": SERVER}


@pytest.fixture
def workspace(tmp_path, tiny_llm, tiny_encoder) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    shutil.copytree(tiny_llm, workspace.model("tiny"))
    shutil.copytree(tiny_encoder, workspace.model("tiny_encoder"))
    table = pd.DataFrame({"segment_id": [text_id(text) for text in TEXTS], "text": TEXTS})
    write_table(workspace.segments("tr") / "segments.parquet", table)
    write_tables(workspace.questions, BANK, [QuestionSet("two", tuple(BANK))], [])
    return workspace


@pytest.fixture
def settings() -> Settings:
    spec = {
        "llm": spec_for("shared"),
        "student": spec_for("student", model="tiny_encoder"),
        "both": AnswererSettings(engine="ensemble", members=["llm", "student"]),
        "twins": AnswererSettings(engine="ensemble", members=["llm", "twin"]),
        "twin": spec_for("reference"),
        "chat": AnswererSettings.model_validate(CHAT),
    }
    names = ["llm", "student", "both", "twins"]
    jobs = {name: AnswersJob(answerer=name, segmentation="tr", set="two") for name in names}
    return Settings.model_construct(answers=AnswersSettings(spec=spec, jobs=jobs, block_texts=4))


def margins(workspace: Workspace, job: str) -> np.ndarray:
    return pd.read_parquet(workspace.answers(job) / "margin.parquet").drop(columns="segment_id").to_numpy()


def figures(workspace: Workspace, job: str) -> dict[str, float]:
    return json.loads(workspace.metrics("answers", job).read_text())


def run_figures(workspace: Workspace, job: str) -> dict[str, float]:
    return json.loads(workspace.run_figures("answers", job).read_text())


def test_after_its_members_an_ensemble_answers_nothing(settings, workspace, capsys):
    answers(settings, workspace, "llm")
    answers(settings, workspace, "student")
    store = workspace.root / "data/store"
    before = sorted(store.rglob("*"))
    for model in ("tiny", "tiny_encoder"):  # weights are not needed any more
        (workspace.model(model) / "model.safetensors").unlink()
    capsys.readouterr()
    answers(settings, workspace, "both")
    *plans, last = capsys.readouterr().out.splitlines()
    line = f"{N_CELLS} cells wanted, {N_CELLS} in the store, 0 to answer"
    assert sorted(plans) == [f"answers both, llm: {line}", f"answers both, student: {line}"]
    assert last == f"answers both: {N_CELLS} cells, 0 answered now by 2 members"
    assert sorted(store.rglob("*")) == before
    expected = (margins(workspace, "llm").astype(np.float64) + margins(workspace, "student")) / 2
    np.testing.assert_allclose(margins(workspace, "both"), expected, rtol=1e-6)
    assert run_figures(workspace, "both")["cells_answered_now"] == run_figures(workspace, "both")["tokens"] == 0


def test_an_ensemble_buys_its_members_cells_for_them(settings, workspace, capsys):
    plan_job(settings, workspace, "both")
    lines = capsys.readouterr().out.splitlines()
    assert all(f": {N_CELLS} cells wanted, 0 in the store, {N_CELLS} to answer" in line for line in lines)
    assert len(lines) == 2
    answers(settings, workspace, "both")
    assert run_figures(workspace, "both")["cells_answered_now"] == 2 * N_CELLS
    for member in ("llm", "student"):
        answers(settings, workspace, member)
        assert run_figures(workspace, member)["cells_answered_now"] == 0


def test_the_spec_lists_the_members_and_their_models(settings, workspace):
    answers(settings, workspace, "both")
    spec = read_json(workspace.answers("both") / "spec.json")
    assert spec["answerer"] == "both"
    assert set(spec["members"]) == {"llm", "student"}
    assert spec["spec"]["combine"] == "mean_margin"
    for member, model, digest, own in zip(
        spec["members"], spec["model"], spec["model_digest"], spec["spec"]["members"], strict=True
    ):
        answers(settings, workspace, member)
        alone = read_json(workspace.answers(member) / "spec.json")
        assert (model, digest, own) == (
            alone["model"],
            alone["model_digest"],
            {"key": alone["key"], "spec": alone["spec"]},
        )
        assert "members" not in alone


def test_what_the_engine_measured_is_in_the_figures_and_printed(settings, workspace, monkeypatch, capsys):
    monkeypatch.setattr(_ZeroShotAnswerer, "figures", {"hit_rate": 0.87654, "cells": -1.0})
    answers(settings, workspace, "student")
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "answers student: hit_rate 0.8765, cells -1"
    assert figures(workspace, "student")["hit_rate"] == 0.87654
    assert figures(workspace, "student")["cells"] == N_CELLS  # an engine can't hide what the stage counts
    answers(settings, workspace, "both")
    assert figures(workspace, "both")["student.hit_rate"] == 0.87654
    answers(settings, workspace, "llm")
    assert "hit_rate" not in figures(workspace, "llm")
    assert " answered now" in capsys.readouterr().out.splitlines()[-1]


def test_members_that_are_one_answerer_are_refused_before_anything_is_answered(settings, workspace):
    with pytest.raises(BadParameter, match="members `(llm|twin)` and `(llm|twin)` of an ensemble have one key"):
        answers(settings, workspace, "twins")
    assert not (workspace.root / "data/store").exists()


def test_no_prompt_is_shown_of_an_ensemble_or_a_chat_server(settings, workspace):
    sample = Sample("A dog.", "Why?", 1, 1)
    with pytest.raises(BadParameter, match="answerer `both` is an ensemble.*; name a member: llm, student"):
        show_prompt(settings, workspace, "text_first", "both", sample)
    with pytest.raises(BadParameter, match="answerer `chat` sends messages to a chat server.* a local model"):
        show_prompt(settings, workspace, "text_first", "chat", sample)
    spec = settings.answers.spec | {"chat": settings.answers.spec["chat"].model_copy(update={"model": "tiny"})}
    with_model = settings.model_copy(update={"answers": AnswersSettings(spec=spec, jobs={})})
    with pytest.raises(BadParameter, match="answerer `chat` sends messages to a chat server"):
        show_prompt(with_model, workspace, "text_first", "chat", sample)
