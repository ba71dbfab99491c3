"""What one more question costs a bank of 150: the real command, a real model, in a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.store.project import ROOT
from qaemb.files import read_json, write_table, write_text
from qaemb.questions import Question, QuestionSet, load_set, write_tables
from qaemb.settings import load_settings
from qaemb.workspace import Workspace

JOB, ANSWERER = "bank", "smollm2"
N_QUESTIONS, N_SEGMENTS = 150, 60


def one_question(folder: Path) -> dict[str, float]:
    """Return cells and seconds of the full run of 150 questions and of the run after one was added, and their shares.

    Needs the stages `segments`, `questions` and `model` of the default project (`dvc repro` makes them).
    """
    source, target = Workspace(ROOT), Workspace(folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["answers"]["jobs"] |= {JOB: {"answerer": ANSWERER, "segmentation": "sentence", "set": "bank"}}
    folder.mkdir(parents=True)
    write_text(folder / "params.yaml", yaml.safe_dump(params, sort_keys=False))
    table = pd.read_parquet(source.segments("sentence") / "segments.parquet")
    write_table(target.segments("sentence") / "segments.parquet", table.iloc[:N_SEGMENTS])
    model = load_settings(folder / "params.yaml").answers.spec[ANSWERER].model
    shutil.copytree(source.model(str(model)), target.model(str(model)))
    bank = load_set(source.questions, "full")
    full, more = (_run(target, bank[:number]) for number in (N_QUESTIONS, N_QUESTIONS + 1))
    return {
        "full_cells": full[0],
        "full_seconds": full[1],
        "append_cells": more[0],
        "append_seconds": more[1],
        "cell_share": more[0] / full[0],
        "time_share": more[1] / full[1],
    }


def _run(workspace: Workspace, questions: list[Question]) -> tuple[float, float]:
    """Answer what the store lacks by the command; returns cells and seconds, its start included."""
    write_tables(workspace.questions, questions, [QuestionSet("bank", tuple(questions))], [])
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", "answers", "--job", JOB]
    begin = time.perf_counter()
    subprocess.run(command, cwd=workspace.root, check=True)
    seconds = time.perf_counter() - begin
    return float(read_json(workspace.run_figures("answers", JOB))["cells_answered_now"]), seconds
