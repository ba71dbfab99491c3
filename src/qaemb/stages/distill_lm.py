"""Stage `distill` for students of kind `lm`: a causal language model that learns to answer as its teacher does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import build_answerer
from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import grade_student
from qaemb.distill.lm import LmResult, LmTraining, train_lm
from qaemb.errors import BadParameter
from qaemb.files import write_json, write_table
from qaemb.models.folder import read_model_info
from qaemb.settings import CausalAnswererSettings, Settings, StudentSettings
from qaemb.tracking import RunRecord, StudentModel, StudentWeights, Tracker, data_tags
from qaemb.workspace import Workspace

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
    metrics: dict[str, Any] = {key: round(value, 6) for key, value in result.figures.items()}
    if is_test.any():
        graded = _grade(own, result, cells.rows(np.flatnonzero(is_test)))
        write_table(folder / "test_plain.parquet", graded)
        metrics["test_auc"] = round(float(graded["auc"].mean()), 6)
    write_json(workspace.metrics("distill", name), metrics)
    metrics["version"] = _log(settings, workspace, name, result, metrics)
    return metrics


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
    spec = CausalAnswererSettings(engine="shared", model="student", prompt=own.lm.prompt)
    answers = build_answerer("student", spec, result.model).answer(sample.texts, sample.questions)
    return grade_student(answers.margin, sample, own.seed)


def _log(settings: Settings, workspace: Workspace, name: str, result: LmResult, metrics: dict[str, Any]) -> str:
    own, base = settings.distill.students[name], settings.distill.students[name].model
    inputs = [workspace.root / own.input, workspace.dataset]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("distill", name)])
    params = {"student": name, **own.model_dump(mode="json", exclude_none=True, exclude={"input"})}
    tracker = Tracker(workspace.mlruns)
    files: tuple[Path, ...] = (result.adapter.parent / "training.json",)
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
