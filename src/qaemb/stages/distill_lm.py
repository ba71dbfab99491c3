"""Students of kind `lm` in stage `distill`, and what logs a student of any kind in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qaemb.answers import build_answerer
from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import grade_student
from qaemb.errors import BadParameter
from qaemb.files import read_json, write_json, write_table
from qaemb.models.folder import read_model_info
from qaemb.settings import AnswererSettings, LmStudent, Settings
from qaemb.tracking import RunRecord, StudentModel, StudentWeights, Tracker, data_tags
from qaemb.workspace import Workspace

if TYPE_CHECKING:
    from qaemb.distill.lm.training import LmResult

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
    settings: Settings, workspace: Workspace, name: str, spec: LmStudent, tables: list[TeacherCells]
) -> dict[str, Any]:
    """Train, grade and log a language model, and return the metrics; `model/` in the student's folder is for engines.

    BadParameter if the teacher's cells come in two segmentations: a language model reads one text.
    """
    from qaemb.distill.lm.training import train_lm

    if len(tables) != 1:
        raise BadParameter(f"distill.students.{name}: kind `lm` reads one segmentation; list one")
    cells, folder = tables[0], workspace.students / name
    is_test = np.isin(cells.groups, settings.dataset.test_stories)
    result = train_lm(workspace.model(spec.model), cells.rows(np.flatnonzero(~is_test)), spec.training, folder)
    figures = {key: round(value, 6) for key, value in result.figures.items()}
    metrics: dict[str, Any] = _without_times(figures)
    times = {key: value for key, value in figures.items() if key in _TIMES}
    _move_times(workspace, name, result, times)
    if is_test.any():
        graded = _grade(spec, result, cells.rows(np.flatnonzero(is_test)))
        write_table(folder / "test_plain.parquet", graded)
        metrics["test_auc"] = round(float(graded["auc"].mean()), 6)
    write_json(workspace.metrics("distill", name), metrics)
    metrics["version"] = log_student(
        settings,
        workspace,
        name,
        metrics | times,
        files=(folder / "training.json", workspace.run_figures("distill", name)),
        folder=result.adapter,
        opener="qaemb.distill.open_student:open_language_model",
        key=read_model_info(result.model).digest,
        held_out=result.figures["best_auc"],
        options={"prompt": spec.lm.prompt},
    )
    return metrics


def _move_times(workspace: Workspace, name: str, result: LmResult, times: dict[str, float]) -> None:
    """Move what differs between two runs out of the student's folder, which DVC keeps."""
    write_json(workspace.run_figures("distill", name), times | {"curve": result.curve})
    path = result.model.parent / "training.json"
    about = read_json(path)
    about["figures"] = _without_times(about["figures"])
    about["curve"] = [_without_times(entry) for entry in about["curve"]]
    write_json(path, about)


def _without_times(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key not in _TIMES}


def _grade(spec: LmStudent, result: LmResult, test: TeacherCells) -> pd.DataFrame:
    """Return the grades of the merged model, which answers through engine `shared` as every model does."""
    rows = np.unique(np.linspace(0, len(test.texts) - 1, _TEST_TEXTS).astype(int))
    sample = test.rows(rows)
    answerer = AnswererSettings(engine="shared", model="student", prompt=spec.lm.prompt)
    answers = build_answerer("student", answerer, result.model).answer(sample.texts, sample.questions)
    return grade_student(answers.margin, sample, spec.seed)


def log_student(
    settings: Settings,
    workspace: Workspace,
    name: str,
    figures: Mapping[str, float],
    *,
    files: tuple[Path, ...],
    **model: Any,
) -> str:
    """Write the MLflow run of a student and a version of its model, and return the version's address.

    `files` are attached to the run; `model` holds the fields of StudentModel in which kinds of students differ.
    """
    spec = settings.distill.students[name]
    base = workspace.model(spec.model)
    tags = data_tags(
        workspace.root, [workspace.root / spec.input, workspace.dataset], [workspace.metrics("distill", name)]
    )
    params = {"student": name, **spec.model_dump(mode="json", exclude_none=True, exclude={"input"})}
    tracker = Tracker(workspace.mlruns)
    run_id = tracker.log_run(f"distill {settings.dataset.name}", RunRecord(name, params, figures, tags, files))
    weights = StudentWeights(
        name=spec.model,
        folder=base,
        digest=read_model_info(base).digest,
        settings=settings.model[spec.model],
        maker="qaemb.models.folder:make_model",
    )
    teacher = str(spec.job or spec.published)
    student = StudentModel(name=name, teacher=teacher, weights=weights, figures=figures, tags=tags, **model)
    return tracker.log_model(run_id, student).uri
