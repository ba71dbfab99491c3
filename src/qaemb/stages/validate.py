"""Stage `validate`: check an answer matrix, grade it against gold, and stop what follows when it is bad."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.answers.approval import matrix_digests
from qaemb.errors import BadMatrix
from qaemb.files import atomic_folder, json_value, read_table, write_json, write_table
from qaemb.questions import load_set
from qaemb.settings import Settings
from qaemb.stages.drift import drift_message, find_job, look_for_drift, read_matrix
from qaemb.validation import (
    Matrix,
    Outcome,
    check,
    failure_message,
    grade,
    summarise,
    tables_to_check,
)
from qaemb.validation.drift import DRIFT_TABLES, PAGE, Drift, headline, write_report
from qaemb.workspace import Workspace

_DRIFT_METRICS = ("n_moved", "n_new_constant", "n_new_redundant", "largest_rate_change", "largest_ks")


def validate(settings: Settings, workspace: Workspace, job: str) -> None:
    """Write data/work/validation/JOB (verdict, summary, grades), the metrics, and reports/data_docs/JOB.

    Where the job has a reference, drift.html and its tables are in reports/data_docs/JOB, too. Raises BadMatrix when a
    rule fails, or drift is found and `on_drift` is `fail`: then the Data Docs and the verdict are in
    reports/data_docs/JOB, and no earlier approval remains in data/work/validation/JOB.
    """
    find_job(settings, job)
    approved = workspace.validation(job)
    shutil.rmtree(approved, ignore_errors=True)
    matrix = read_matrix(settings, workspace, job)
    summary = summarise(matrix.margin, matrix.mass, settings.validate_.low_mass)
    drift = look_for_drift(settings, workspace, job, matrix)
    docs = workspace.reports / "data_docs" / job
    with atomic_folder(docs) as folder:
        tables = tables_to_check(matrix, summary, settings.validate_)
        outcomes = check(tables + (drift.tables() if drift else []), folder)
        verdict = _verdict(workspace.answers(job), job, matrix, outcomes, drift)
        write_json(folder / "validation.json", verdict)
        if drift:
            write_report(drift, folder)
    if not verdict["success"]:
        write_json(workspace.metrics("validate", job), json_value(_metrics(verdict, summary, None), digits=6))
        unsound = _unsound(outcomes)
        raise BadMatrix(failure_message(job, unsound, docs) if unsound or not drift else drift_message(drift, docs))
    grades = _grades(settings, workspace, job, matrix)
    with atomic_folder(approved) as folder:
        write_json(folder / "validation.json", verdict)
        write_table(folder / "summary.parquet", summary)
        if grades is not None:
            grades.to_csv(folder / "grades.csv", index=False)
    write_json(workspace.metrics("validate", job), json_value(_metrics(verdict, summary, grades), digits=6))
    print(_line(job, matrix, summary, grades))
    if drift:
        print(f"validate: {headline(drift)}; see {docs / PAGE}")


def _unsound(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the failed rules on the matrix itself, those on drift aside."""
    return [outcome for outcome in outcomes if not outcome.success and outcome.table not in DRIFT_TABLES]


def _verdict(answers: Path, job: str, matrix: Matrix, outcomes: list[Outcome], drift: Drift | None) -> dict[str, Any]:
    drifted = any(not outcome.success and outcome.table in DRIFT_TABLES for outcome in outcomes)
    stops = drift is not None and drifted and drift.limits.on_drift == "fail"
    of_drift = {"drift": {"found": drifted, "said": headline(drift), **drift.figures()}} if drift else {}
    return {
        "job": job,
        "success": not _unsound(outcomes) and not stops,
        **matrix_digests(answers),
        "n_segments": len(matrix.margin),
        "n_questions": len(matrix.margin.columns) - 1,
        **of_drift,
        "expectations": [asdict(outcome) for outcome in outcomes],
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
    metrics |= {f"drift_{name}": value for name, value in verdict.get("drift", {}).items() if name in _DRIFT_METRICS}
    if grades is not None:
        metrics["n_graded"] = int(grades["auc"].notna().sum())
        metrics["mean_auc"] = grades["auc"].mean()
        metrics["mean_balanced_accuracy"] = grades["balanced_accuracy"].mean()
    return metrics


def _line(job: str, matrix: Matrix, summary: pd.DataFrame, grades: pd.DataFrame | None) -> str:
    graded = "" if grades is None or grades.empty else f", mean AUC against gold {grades['auc'].mean():.3f}"
    size = f"{len(matrix.margin)} segments x {len(summary)} questions"
    return f"validate: {job} is fit for use: {size}, mean mass {summary['mean_mass'].mean():.3f}{graded}"
