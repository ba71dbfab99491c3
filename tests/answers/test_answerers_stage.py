"""The stage `answerers`: keys change with what changes an answer alone; and the advice on a prompt's order."""

import shutil

import pandas as pd
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.prompts import load_prompt, prompt_names
from qaemb.files import read_json, write_table
from qaemb.identity import text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswererSettings, AnswersJob, AnswersSettings, Settings
from qaemb.stages.answers import answerers, answers, plan_job
from qaemb.workspace import Workspace

from .conftest import spec_for

LONG = "and then my brother walked out of the old house with a lamp in his hand and a dog in his arms, far away"
BANK = [Question("food", "Food?"), Question("animal", "A dog?")]


@pytest.fixture
def workspace(tmp_path, tiny_llm, tiny_encoder) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    shutil.copytree(tiny_llm, workspace.model("tiny"))
    shutil.copytree(tiny_encoder, workspace.model("tiny_encoder"))
    texts = [f"{number} {LONG}" for number in range(20)]
    table = pd.DataFrame({"segment_id": [text_id(text) for text in texts], "text": texts})
    write_table(workspace.segments("tr") / "segments.parquet", table)
    write_tables(workspace.questions, BANK, [QuestionSet("two", tuple(BANK))], [])
    return workspace


def settings_with(prompt="question_first", **changes) -> Settings:
    spec = {
        "llm": spec_for("shared", prompt=prompt, **changes),
        "student": spec_for("student", model="tiny_encoder"),
        "both": AnswererSettings(engine="ensemble", members=["llm", "student"]),
        "unused": spec_for("shared", model="nowhere"),
    }
    jobs = {name: AnswersJob(answerer=name, segmentation="tr", set="two") for name in ("llm", "student", "both")}
    return Settings.model_construct(answers=AnswersSettings(spec=spec, jobs=jobs))


def contents(settings: Settings, workspace: Workspace) -> dict[str, str]:
    answerers(settings, workspace)
    return {path.stem: path.read_text() for path in workspace.answerers.iterdir()}


def test_a_file_holds_the_key_of_each_answerer_in_use(workspace):
    found = contents(settings_with(), workspace)
    assert sorted(found) == ["both", "llm", "student"]
    answerer = build_answerer("llm", spec_for("shared", prompt="question_first"), workspace.model("tiny"))
    assert read_json(workspace.answerers / "llm.json") == {"name": "llm", "key": answerer.key, "spec": answerer.spec}


def test_only_what_changes_answers_changes_the_files(workspace):
    first = contents(settings_with(), workspace)
    assert contents(settings_with(batch_tokens=64, threads=1), workspace) == first
    other = contents(settings_with(prompt="text_first"), workspace)
    assert other["student"] == first["student"]
    assert other["llm"] != first["llm"]
    assert other["both"] != first["both"]


def test_a_plan_says_where_the_other_order_takes_fewer_tokens(workspace, capsys):
    plan_job(settings_with("question_first"), workspace, "llm")
    first, advice = capsys.readouterr().out.splitlines()
    assert first.startswith("answers llm: 40 cells wanted")
    answerer = build_answerer("llm", spec_for("shared", prompt="question_first"), workspace.model("tiny"))
    texts = [f"{number} {LONG}" for number in range(20)]
    own, other = (one.cost(texts, ["Food?", "A dog?"]).tokens for one in (answerer, answerer.in_other_order()))
    assert other < own
    assert advice.startswith("answers llm, llm: prompt `question_first` is question_first; a prompt that is text_first")
    assert f"about {other:,} tokens for all cells, not {own:,}" in advice
    plan_job(settings_with("text_first"), workspace, "llm")
    assert len(capsys.readouterr().out.splitlines()) == 1
    answers(settings_with("question_first"), workspace, "llm")
    capsys.readouterr()
    plan_job(settings_with("question_first"), workspace, "llm")
    assert len(capsys.readouterr().out.splitlines()) == 1  # nothing is left to answer, nothing to advise


@pytest.mark.parametrize("name", prompt_names())
def test_a_prompt_turned_twice_is_itself(name):
    prompt = load_prompt(name)
    turned = prompt.turned()
    assert turned.order != prompt.order
    assert turned.turned() == prompt
    places = [turned.message.index(place) for place in ("{text}", "{question}")]
    assert (places[0] < places[1]) == (turned.order == "text_first")
