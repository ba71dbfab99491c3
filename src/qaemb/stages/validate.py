"""Stage `validate`: check an answer matrix, grade it against gold, and stop what follows when it is bad."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.errors import BadMatrix, BadParameter
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.identity import file_sha256
from qaemb.questions import load_set
from qaemb.settings import Settings
from qaemb.validation import Matrix, check, expectations, failure_message, failures, grade, summarise, tables_to_check
from qaemb.workspace import Workspace


def validate(settings: Settings, workspace: Workspace, job: str) -> None:
    """Write data/work/validation/JOB (verdict, summary, grades), the metrics, and reports/data_docs/JOB.

    Raises BadMatrix when a rule fails: then the Data Docs and the verdict are in reports/data_docs/JOB, and no earlier
    approval remains in data/work/validation/JOB.
    """
    if job not in settings.answers.jobs:
        known = ", ".join(settings.answers.jobs)
        raise BadParameter(f"no answers job `{job}` in params.yaml: answers.jobs ({known})")
    approved = workspace.validation(job)
    shutil.rmtree(approved, ignore_errors=True)
    matrix = _read_matrix(settings, workspace, job)
    summary = summarise(matrix.margin, matrix.mass, settings.validate_.low_mass)
    docs = workspace.reports / "data_docs" / job
    with atomic_folder(docs) as folder:
        outcomes = check(tables_to_check(matrix, settings.validate_), folder)
        verdict = _verdict(workspace.answers(job), job, matrix) | {
            "success": not failures(outcomes),
            "expectations": expectations(outcomes),
        }
        write_json(folder / "validation.json", verdict)
    if failures(outcomes):
        write_json(workspace.metrics("validate", job), _metrics(verdict, summary, None))
        raise BadMatrix(failure_message(job, outcomes, docs))
    grades = _grades(settings, workspace, job, matrix)
    with atomic_folder(approved) as folder:
        write_json(folder / "validation.json", verdict)
        write_table(folder / "summary.parquet", summary)
        if grades is not None:
            grades.to_csv(folder / "grades.csv", index=False)
    write_json(workspace.metrics("validate", job), _metrics(verdict, summary, grades))
    print(_line(job, matrix, summary, grades))


def _read_matrix(settings: Settings, workspace: Workspace, job: str) -> Matrix:
    spec = settings.answers.jobs[job]
    folder = workspace.answers(job)
    tables = {name: read_table(folder / f"{name}.parquet") for name in ("margin", "mass")}
    for name, table in tables.items():
        if "segment_id" not in table:
            raise BadMatrix(
                f"{folder / name}.parquet has no column `segment_id`; run `qaemb answers --job {job}` again"
            )
    segments = read_table(workspace.segments(spec.segmentation) / "segments.parquet", ["segment_id"])
    questions = load_set(workspace.questions, spec.set)
    return Matrix(tables["margin"], tables["mass"], list(segments["segment_id"]), [item.name for item in questions])


def _verdict(answers: Path, job: str, matrix: Matrix) -> dict[str, Any]:
    return {
        "job": job,
        "success": False,
        "answers_sha256": file_sha256(answers / "margin.parquet"),
        "mass_sha256": file_sha256(answers / "mass.parquet"),
        "n_segments": len(matrix.margin),
        "n_questions": len(matrix.margin.columns) - 1,
    }


def _grades(settings: Settings, workspace: Workspace, job: str, matrix: Matrix) -> pd.DataFrame | None:
    """Return the grades, or None where the job is not on sentences or the data set has no gold."""
    segmentation = settings.answers.jobs[job].segmentation
    gold = workspace.dataset / "gold.parquet"
    if settings.segments[segmentation].kind != "sentence" or not gold.exists():
        return None
    questions = load_set(workspace.questions, settings.answers.jobs[job].set)
    properties = {question.name: question.property_id for question in questions if question.property_id}
    occurrences = read_table(workspace.segments(segmentation) / "occurrences.parquet")
    return grade(matrix.margin, occurrences, read_table(gold), properties)


def _metrics(verdict: dict[str, Any], summary: pd.DataFrame, grades: pd.DataFrame | None) -> dict[str, Any]:
    metrics = {
        "success": verdict["success"],
        "n_segments": verdict["n_segments"],
        "n_questions": verdict["n_questions"],
        "mean_sd": summary["sd"].mean(),
        "yes_rate": summary["yes_rate"].mean(),
        "mean_mass": summary["mean_mass"].mean(),
        "share_low_mass": summary["share_low_mass"].mean(),
    }
    if grades is not None:
        metrics["n_graded"] = int(grades["auc"].notna().sum())
        metrics["mean_auc"] = grades["auc"].mean()
        metrics["mean_balanced_accuracy"] = grades["balanced_accuracy"].mean()
    return {key: value if isinstance(value, bool | int) else _rounded(value) for key, value in metrics.items()}


def _rounded(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def _line(job: str, matrix: Matrix, summary: pd.DataFrame, grades: pd.DataFrame | None) -> str:
    graded = "" if grades is None or grades.empty else f", mean AUC against gold {grades['auc'].mean():.3f}"
    size = f"{len(matrix.margin)} segments x {len(summary)} questions"
    return f"validate: {job} is fit for use: {size}, mean mass {summary['mean_mass'].mean():.3f}{graded}"
