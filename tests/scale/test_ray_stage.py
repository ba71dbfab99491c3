"""`qaemb answers run --runner ray`: the same files as without it, on a cluster that is there or one started here."""

import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from qaemb.cli.app import app
from qaemb.files import write_table
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswersJob, AnswersSettings, RaySettings, Settings
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace

from .slow import QUESTIONS, SPEC, grid

JOB = AnswersJob(answerer="student", segmentation="tr", set="all")


@pytest.fixture
def workspace(models, tmp_path) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    shutil.copytree(models, workspace.model("llm").parent)
    wanted = grid()
    table = pd.DataFrame({"segment_id": wanted.segment_ids, "text": wanted.texts})
    write_table(workspace.segments("tr") / "segments.parquet", table)
    bank = [Question(f"q{number}", text) for number, text in enumerate(QUESTIONS)]
    write_tables(workspace.questions, bank, [QuestionSet("all", tuple(bank))], [])
    return workspace


def settings(store: str, **ray) -> Settings:
    section = AnswersSettings(store=store, spec=SPEC, jobs={"job": JOB}, block_texts=16, ray=RaySettings(**ray))
    return Settings.model_construct(answers=section)


def matrices(workspace: Workspace) -> dict[str, bytes]:
    """All files of the job but the times at which it was answered."""
    files = workspace.answers("job").iterdir()
    return {path.name: path.read_bytes() for path in files if path.name != "answered.parquet"}


@pytest.mark.slow
def test_the_stage_writes_the_same_files_with_either_runner(cluster, workspace, capsys):
    answers(settings("data/here"), workspace, "job")
    here = matrices(workspace)
    answers(settings("data/there", address=cluster.address), workspace, "job", "ray")
    assert matrices(workspace) == here
    out = capsys.readouterr().out
    assert out.count("answers job: 288 cells wanted, 0 in the store, 288 to answer in 6 blocks, ") == 2
    assert out.count("answers job: 288 cells, 288 answered now, ") == 2


def test_the_command_passes_the_runner_on(monkeypatch):
    calls = []
    monkeypatch.setattr("qaemb.cli.answers.load", lambda: ("settings", "workspace"))
    monkeypatch.setattr("qaemb.stages.answers.answers", lambda *args: calls.append(args[2:]))
    for command in (["run", "--job", "j", "--runner", "ray"], ["run", "--job", "j"], ["--job", "j"]):
        assert CliRunner().invoke(app, ["answers", *command]).exit_code == 0
    assert calls == [("j", "ray"), ("j", "local"), ("j",)]
    unknown = CliRunner().invoke(app, ["answers", "run", "--job", "j", "--runner", "slurm"])
    assert unknown.exit_code == 2
