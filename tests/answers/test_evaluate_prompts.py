"""`answers evaluate` under several prompts, and of an ensemble, with tiny models from files to files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.answers import build_answerer
from qaemb.errors import BadParameter
from qaemb.settings import AnswererSettings, AnswersSettings, Settings, ValidateSettings
from qaemb.stages.evaluate import Evaluation, evaluate
from qaemb.workspace import Workspace

from .conftest import spec_for

YES = ["We shared warm bread and soup.", "She peeled an orange.", "He fried two eggs."]
NO = ["The train was late.", "He counted his coins.", "Her coat was green."]
QUESTION = "Does the text mention food?"
PROMPTS = ("text_first", "question_first", "concise")


@pytest.fixture
def settings() -> Settings:
    spec = {
        "llm": spec_for("shared"),
        "student": spec_for("student", model="tiny_encoder"),
        "both": AnswererSettings(engine="ensemble", members=["llm", "student"]),
    }
    return Settings.model_construct(answers=AnswersSettings(spec=spec, jobs={}), validate_=ValidateSettings())


@pytest.fixture
def workspace(tmp_path, tiny_llm, tiny_encoder) -> Workspace:
    """A project with both models and the gold `d3` of one task."""
    made = Workspace(tmp_path)
    shutil.copytree(tiny_llm, made.model("tiny"))
    shutil.copytree(tiny_encoder, made.model("tiny_encoder"))
    (tmp_path / "d3").mkdir()
    (tmp_path / "d3" / "task_defs.json").write_text('{"food": "mentions food"}')
    labelled = pd.DataFrame({"input": [*YES, *NO], "label": [1] * 3 + [0] * 3})
    labelled.to_csv(tmp_path / "d3" / "food.csv", index=False)
    return made


def asked(workspace: Workspace, *answerers: str, prompts: tuple[str, ...] = ()) -> Evaluation:
    return Evaluation(answerers, gold=str(workspace.root / "d3"), prompts=prompts)


def results(workspace: Workspace) -> tuple[set[str], dict]:
    folder = workspace.reports / "evaluation" / "d3"
    return {path.name for path in folder.iterdir()}, json.loads((folder / "summary.json").read_text())


def test_each_prompt_is_evaluated_and_the_spread_is_that_of_the_answers(settings, workspace, tiny_llm, capsys):
    evaluate(settings, workspace, asked(workspace, "llm", prompts=PROMPTS))
    out = capsys.readouterr().out
    margins = {}
    for prompt in PROMPTS:
        assert f"evaluate d3, llm[{prompt}]: 6 cells wanted, 0 in the store, 6 to answer" in out
        answerer = build_answerer("llm", spec_for("shared", prompt=prompt), tiny_llm)
        assert (workspace.root / "data/store" / answerer.key).is_dir()
        margins[prompt] = answerer.answer([*YES, *NO], [QUESTION]).margin[:, 0]
    p = 1 / (1 + np.exp(-np.stack(list(margins.values()), dtype=np.float64)))
    flipped = [len(set(column)) > 1 for column in (p > 0.5).T]
    names, summary = results(workspace)
    assert "sensitivity.csv" in names
    table = pd.read_csv(workspace.reports / "evaluation" / "d3" / "sensitivity.csv").set_index("name")
    assert table.index.tolist() == ["(all cells)", "food"]
    assert table.loc["food", "sd_prompts"] == pytest.approx(p.std(axis=0, ddof=1).mean(), abs=1e-4)
    assert table.loc["food", "share_flipped"] == pytest.approx(np.mean(flipped))
    aucs = [summary["answerers"][f"llm[{prompt}]"]["mean"]["auc"] for prompt in PROMPTS]
    assert table.loc["food", ["auc_low", "auc_high"]].tolist() == pytest.approx([min(aucs), max(aucs)], abs=1e-6)
    assert summary["sensitivity"]["mean"]["sd_prompts"] == pytest.approx(table.loc["food", "sd_prompts"], abs=1e-6)
    assert [(row["first"], row["second"]) for row in summary["agreement"]] == [
        ("llm[text_first]", "llm[question_first]"),
        ("llm[text_first]", "llm[concise]"),
        ("llm[question_first]", "llm[concise]"),
    ]
    assert "How much llm depends on its prompt (3 prompts)" in out


def test_cells_are_shared_with_an_answerer_of_that_prompt(settings, workspace, capsys):
    evaluate(settings, workspace, asked(workspace, "llm"))
    assert "sensitivity" not in results(workspace)[1]
    evaluate(settings, workspace, asked(workspace, "llm", prompts=("text_first",)))
    out = capsys.readouterr().out
    assert "llm[text_first]: 6 cells wanted, 6 in the store, 0 to answer" in out
    assert "depends on its prompt" not in out  # one prompt has no spread
    assert "sensitivity.csv" not in results(workspace)[0]


def test_an_ensemble_is_evaluated_from_its_members_cells(settings, workspace, capsys):
    evaluate(settings, workspace, asked(workspace, "llm", "student", "both"))
    out = capsys.readouterr().out
    for member in ("llm", "student"):
        assert f"evaluate d3, both, {member}: 6 cells wanted, 6 in the store, 0 to answer" in out
    assert list(results(workspace)[1]["answerers"]) == ["llm", "student", "both"]
    assert len(list((workspace.root / "data/store").iterdir())) == 2


def test_what_prompts_can_not_be_put_to_is_named_before_anything_is_answered(settings, workspace):
    def refused(message: str, *answerers: str, prompts: tuple[str, ...] = ("text_first", "concise")) -> None:
        with pytest.raises(BadParameter, match=message):
            evaluate(settings, workspace, asked(workspace, *answerers, prompts=prompts))

    refused("--prompt goes with one --answerer, not with 2", "llm", "student")
    refused("can't be put to answerer `student`: engine `student` takes none", "student")
    refused("can't be put to the ensemble `both`; name a member: llm, student", "both")
    refused(r"no answerer `z` in params\.yaml, section answers\.spec; there are: llm, student, both", "z")
    refused("--prompt concise is given twice", "llm", prompts=("concise", "text_first", "concise"))
    refused("there is no prompt `nope`", "llm", prompts=("concise", "nope"))
    mine = workspace.root / "mine.yaml"
    mine.write_text('name: mine\norder: text_first\nchat: true\npieces: ["T: {text}", " Q: {question}"]\n')
    copy = workspace.root / "copy.yaml"
    copy.write_text(mine.read_text().replace("name: mine", "name: copy"))
    refused(r"mine\.yaml\]` and `.*copy\.yaml\]` are one prompt under two names", "llm", prompts=(str(mine), str(copy)))
    assert not (workspace.root / "data/store").exists()
    assert not workspace.reports.exists()


def test_the_command_line_takes_prompts(tmp_path):
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", "answers", "evaluate"]
    options = ["--answerer", "smollm2", "--prompt", "concise", "--prompt", "text_first", "--prompt", "concise"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "qaemb: --prompt concise is given twice; give different prompts\n")
