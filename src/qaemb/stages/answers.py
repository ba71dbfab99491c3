"""Stage `answers`: answer what the store lacks of a job, then write the job's matrix from the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers import Answerer, Answers, build_answerer
from qaemb.answers.models import read_model_info
from qaemb.answers.plan import Plan, Wanted, make_plan, timed
from qaemb.answers.run import RunStats, read_all, run_plan
from qaemb.answers.store import Store
from qaemb.errors import BadParameter
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.questions import Question, load_set
from qaemb.settings import AnswersJob, Settings
from qaemb.workspace import Workspace

_WORTH_TIMING = 1000  # cells; fewer are answered before a measured time would help


@dataclass(frozen=True)
class _Job:
    """A job with everything it names looked up."""

    name: str
    settings: AnswersJob
    answerer: Answerer
    model_folder: Path
    store: Store
    wanted: Wanted
    questions: list[Question]


def answers(settings: Settings, workspace: Workspace, job: str) -> None:
    """Write `margin.parquet`, `mass.parquet` and `spec.json` of a job, and its figures under reports/metrics.

    Only cells that the store lacks are answered; the matrix is read from the store alone, so the same store gives the
    same files. BadParameter or BadInput name what is unknown or wrong, StoreError a damaged block.
    """
    opened = _open(settings, workspace, job)
    plan = _plan(opened, settings.answers.block_texts)
    if plan.n_missing >= _WORTH_TIMING:
        plan = timed(opened.answerer, opened.wanted, plan)
    print(f"answers {job}: {plan.describe()}", flush=True)
    stats = run_plan(opened.answerer, opened.store, opened.wanted, plan, job)
    found = read_all(opened.store, opened.wanted)
    with atomic_folder(workspace.answers(job)) as folder:
        write_table(folder / "margin.parquet", _matrix(opened, found.margin))
        write_table(folder / "mass.parquet", _matrix(opened, found.mass))
        write_json(folder / "spec.json", _spec(opened))
    write_json(workspace.metrics("answers", job), _figures(found, stats))
    speed = f", {stats.cells_per_s:.1f} cells/s" if stats.cells else ""
    print(f"answers {job}: {found.margin.size:,} cells, {stats.cells:,} answered now{speed}")


def plan_job(settings: Settings, workspace: Workspace, job: str) -> None:
    """Print what the stage `answers` would do for a job: cells, tokens, and the time at the speed measured now."""
    opened = _open(settings, workspace, job)
    plan = timed(opened.answerer, opened.wanted, _plan(opened, settings.answers.block_texts))
    print(f"answers {job}: {plan.describe()}")


def _open(settings: Settings, workspace: Workspace, name: str) -> _Job:
    jobs = settings.answers.jobs
    if name not in jobs:
        raise BadParameter(f"no job `{name}` in params.yaml, section answers.jobs; there are: {', '.join(jobs)}")
    job = jobs[name]
    spec = settings.answers.spec[job.answerer]
    model_folder = workspace.model(spec.model)
    answerer = build_answerer(job.answerer, spec, model_folder)
    segments = read_table(workspace.segments(job.segmentation) / "segments.parquet")
    questions = load_set(workspace.questions, job.set)
    wanted = Wanted(
        segment_ids=segments["segment_id"].tolist(),
        texts=segments["text"].tolist(),
        question_ids=[question.question_id for question in questions],
        questions=[question.text for question in questions],
    )
    wanted.check()
    store = Store(workspace.root / settings.answers.store, answerer.key)
    return _Job(name, job, answerer, model_folder, store, wanted, questions)


def _plan(job: _Job, block_texts: int) -> Plan:
    stored = job.store.read(job.wanted.segment_ids, job.wanted.question_ids)
    return make_plan(job.answerer, job.wanted, np.isnan(stored.margin), block_texts)


def _matrix(job: _Job, values: NDArray[np.float32]) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=[question.name for question in job.questions])
    table.insert(0, "segment_id", list(job.wanted.segment_ids))
    return table


def _spec(job: _Job) -> dict[str, Any]:
    """What the matrix is, in full: a function of parameters, model, segments and questions, not of this run."""
    model = read_model_info(job.model_folder)
    return {
        "job": job.name,
        "answerer": job.settings.answerer,
        "key": job.answerer.key,
        "spec": job.answerer.spec,
        "model": asdict(model),
        "model_digest": model.digest,
        "segmentation": job.settings.segmentation,
        "n_segments": len(job.wanted.segment_ids),
        "n_cut": job.answerer.cost(job.wanted.texts, job.wanted.questions).n_cut,
        "set": job.settings.set,
        "questions": [{"name": q.name, "question_id": q.question_id, "text": q.text} for q in job.questions],
    }


def _figures(found: Answers, stats: RunStats) -> dict[str, float]:
    return {
        "cells": found.margin.size,
        "cells_answered_now": stats.cells,
        "cells_per_s": round(stats.cells_per_s, 2),
        "tokens": stats.tokens,
        "seconds": round(stats.seconds, 2),
        "mean_mass": round(float(found.mass.mean(dtype=np.float64)), 6),
    }
