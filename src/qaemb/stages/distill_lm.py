"""Stage `distill` for students of kind `lm`: a causal language model that learns to answer as its teacher does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import build_answerer
from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import grade_student
from qaemb.distill.lm import LmResult, LmTraining, train_lm
from qaemb.errors import BadParameter
from qaemb.files import read_json, write_json, write_table
from qaemb.models.folder import read_model_info
from qaemb.settings import AnswererSettings, Settings, StudentSettings
from qaemb.tracking import RunRecord, StudentModel, StudentWeights, Tracker, data_tags
from qaemb.workspace import Workspace

_TIMES = {
    "seconds",
    "texts_per_s",
    "cells_per_s",
    "tokens_per_s",
    "training_seconds",
    "training_cpu_seconds",
}
_TEST_TEXTS = 100  # of the test stories, spread evenly, that the trained model is graded on


def train_language_model(
    settings: Settings, workspace: Workspace, name: str, tables: list[TeacherCells]
) -> dict[str, Any]:
    """Train, grade, log, and return the metrics; the model for the engines is `model/` in the student's folder.

    BadParameter if the teacher's cells come in two segmentations: a language model reads one text.
    """
    if len(tables) != 1:
        raise BadParameter(f"distill.students.{name}: kind `lm` reads one segmentation; list one")
    own, cells = settings.distill.students[name], tables[0]
    is_test = np.isin(cells.groups, settings.dataset.test_stories)
    folder = workspace.students / name
    result = train_lm(
        workspace.model(own.model), own.lm.prompt, cells.rows(np.flatnonzero(~is_test)), _training(own), folder
    )
    figures = {key: round(value, 6) for key, value in result.figures.items()}
    metrics: dict[str, Any] = _without_times(figures)
    times = {key: value for key, value in figures.items() if key in _TIMES}
    _keep_times(workspace, name, result, times)
    if is_test.any():
        graded = _grade(own, result, cells.rows(np.flatnonzero(is_test)))
        write_table(folder / "test_plain.parquet", graded)
        metrics["test_auc"] = round(float(graded["auc"].mean()), 6)
    write_json(workspace.metrics("distill", name), metrics)
    metrics["version"] = _log(settings, workspace, name, result, metrics | times)
    return metrics


def _keep_times(workspace: Workspace, name: str, result: LmResult, times: dict[str, float]) -> None:
    """Move what is different in every run out of the student's folder, which DVC keeps."""
    write_json(workspace.run_figures("distill", name), times | {"curve": result.curve})
    path = result.model.parent / "training.json"
    about = read_json(path)
    about["figures"] = _without_times(about["figures"])
    about["curve"] = [_without_times(entry) for entry in about["curve"]]
    write_json(path, about)


def _without_times(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key not in _TIMES}


def _training(own: StudentSettings) -> LmTraining:
    lm = own.lm
    return LmTraining(
        n_layers=lm.n_layers,
        rank=lm.rank,
        texts_per_batch=lm.texts_per_batch,
        questions_per_text=lm.questions_per_text,
        balance="weights" if own.balance else "none",
        epochs=lm.epochs,
        minutes=lm.minutes,
        learning_rate=lm.learning_rate,
        held_out_share=own.held_out_share,
        seed=own.seed,
    )


def _grade(own: StudentSettings, result: LmResult, test: TeacherCells) -> pd.DataFrame:
    """Return the grades of the merged model, asked through engine `shared` as every model is."""
    rows = np.unique(np.linspace(0, len(test.texts) - 1, _TEST_TEXTS).astype(int))
    sample = test.rows(rows)
    spec = AnswererSettings(engine="shared", model="student", prompt=own.lm.prompt)
    answers = build_answerer("student", spec, result.model).answer(sample.texts, sample.questions)
    return grade_student(answers.margin, sample, own.seed)


def _log(settings: Settings, workspace: Workspace, name: str, result: LmResult, metrics: dict[str, Any]) -> str:
    own, base = settings.distill.students[name], settings.distill.students[name].model
    inputs = [workspace.root / own.input, workspace.dataset]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("distill", name)])
    params = {"student": name, **own.model_dump(mode="json", exclude_none=True, exclude={"input"})}
    tracker = Tracker(workspace.mlruns)
    files = (result.adapter.parent / "training.json", workspace.run_figures("distill", name))
    run_id = tracker.log_run(f"distill {settings.dataset.name}", RunRecord(name, params, metrics, tags, files))
    info = read_model_info(workspace.model(base))
    version = tracker.log_model(
        run_id,
        StudentModel(
            name=name,
            folder=result.adapter,
            opener="qaemb.distill.open_student:open_language_model",
            key=read_model_info(result.model).digest,
            teacher=str(own.job or own.published),
            held_out=result.figures["best_auc"],
            options={"prompt": own.lm.prompt},
            weights=StudentWeights(
                name=base,
                folder=workspace.model(base),
                digest=info.digest,
                settings=settings.model[base],
                maker="qaemb.models.folder:make_model",
            ),
            figures=metrics,
            tags=tags,
        ),
    )
    return version.uri
