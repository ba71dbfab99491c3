from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.questions import load_set
from qaemb.settings import Settings
from qaemb.stages.inputs import questions
from qaemb.workspace import Workspace

Write = Callable[..., Path]
Entry = Callable[..., dict[str, Any]]


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_writes_tables_and_says_so(
    settings: Settings, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    questions(settings, workspace)
    assert capsys.readouterr().out == "questions: 3 accepted, 0 rejected; sets: some 2, whole 3\n"
    assert [question.name for question in load_set(workspace.questions, "some")] == ["sound", "eating"]
    assert [question.name for question in load_set(workspace.questions, "whole")] == ["eating", "color", "sound"]


def test_same_input_same_bytes(settings: Settings, workspace: Workspace) -> None:
    questions(settings, workspace)
    first = state(workspace.questions)
    questions(settings, workspace)
    assert state(workspace.questions) == first


def test_rejections_are_recorded_and_stay_out_of_all(
    settings: Settings, workspace: Workspace, write_family: Write, make_entry: Entry
) -> None:
    write_family(
        "new",
        [
            make_entry("both", "Does the text mention food and describe a place?"),
            make_entry("again", "Does the text mention a color?"),
            make_entry("pain", "Does the text mention pain?"),
        ],
    )
    questions(settings, workspace)
    rejected = pd.read_csv(workspace.questions / "rejected.csv")
    assert list(rejected) == ["file", "name", "text", "reason"]
    # Files are read by name, so `new` comes before `senses` and keeps the wording that both have.
    assert rejected[["file", "name"]].to_numpy().tolist() == [["new.yaml", "both"], ["senses.yaml", "color"]]
    assert "joins propositions with `and`" in rejected["reason"][0]
    assert "same text as `again`" in rejected["reason"][1]
    assert "both" not in [question.name for question in load_set(workspace.questions, "whole")]


def test_similarity_comes_from_the_settings(
    settings: Settings, workspace: Workspace, write_family: Write, make_entry: Entry
) -> None:
    write_family("tastes", [make_entry("taste", "Does the text describe a taste?")])
    section = settings.questions.model_copy(update={"duplicate_similarity": 0.7})
    questions(settings.model_copy(update={"questions": section}), workspace)
    rejected = pd.read_csv(workspace.questions / "rejected.csv")
    assert rejected["name"].tolist() == ["taste"]
    questions(settings, workspace)
    assert len(pd.read_csv(workspace.questions / "rejected.csv")) == 0


@pytest.mark.parametrize(
    "case",
    [
        (["sound", "sound"], r"bad.yaml: the question `sound` is listed twice"),
        (["sound", "sund"], r"bad.yaml: there is no question `sund`"),
        ([], r"bad.yaml: the set is empty"),
        (["both"], r"bad.yaml: the question `both` was rejected: it joins propositions with `and`"),
    ],
)
def test_wrong_set_leaves_the_old_tables(
    settings: Settings,
    workspace: Workspace,
    write_family: Write,
    write_set: Write,
    make_entry: Entry,
    case: tuple[list[str], str],
) -> None:
    write_family("new", [make_entry("both", "Does the text mention food and describe a place?")])
    questions(settings, workspace)
    before = state(workspace.questions)
    names, message = case
    write_set("bad", names)
    with pytest.raises(BadInput, match=message):
        questions(settings, workspace)
    assert state(workspace.questions) == before
    assert [path.name for path in workspace.work.iterdir()] == ["questions"]


def test_wrong_bank_writes_nothing(
    settings: Settings, workspace: Workspace, write_family: Write, make_entry: Entry
) -> None:
    write_family("new", [make_entry("color", "Does the text mention pain?")])
    with pytest.raises(BadInput, match="name `color` stands twice"):
        questions(settings, workspace)
    assert not workspace.work.exists()
