"""Stages `answers` and `answerers`, and how stages open answerers and jobs.

`answers` answers what the store lacks of a job, then writes the job's matrix from the store. `answerers` writes the key
of every answerer that a job or task uses, so that `answers` runs again when a key changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers import Answerer, Answers, open_answerer
from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.answers.plan import Wanted
from qaemb.answers.ray_runner import RayRunner
from qaemb.answers.run import RunStats
from qaemb.answers.stored import WORTH_TIMING, Runner, Stored
from qaemb.errors import require
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.models.folder import ModelInfo, read_model_info
from qaemb.questions import Question, load_set
from qaemb.settings import AnswersJob, Settings
from qaemb.workspace import Workspace

_CLEARLY = 0.9  # of the tokens: a smaller gain is not worth another prompt


def answerer_opener(settings: Settings, workspace: Workspace) -> Callable[[str], Answerer]:
    """Return the function that opens the answerer of a name in `answers.spec`; it can be pickled."""
    return partial(open_answerer, spec=settings.answers.spec, model_folder=workspace.model, root=workspace.root)


def open_stored(settings: Settings, workspace: Workspace, name: str) -> Stored:
    """Return the answerer of a name in `answers.spec` over the project's store; errors as in `open_answerer`."""
    return Stored(name, answerer_opener(settings, workspace)(name), workspace.store(settings.answers.store))


@dataclass(frozen=True)
class Job:
    """A job with everything it names looked up; `models` by answerer, None where it has no local model."""

    name: str
    settings: AnswersJob
    stored: Stored
    models: dict[str, ModelInfo | None]
    grid: Wanted
    questions: list[Question]


def answers(settings: Settings, workspace: Workspace, job: str, runner: Literal["local", "ray"] = "local") -> None:
    """Write `margin.parquet`, `mass.parquet`, `answered.parquet` and `spec.json` of a job, and its figures in reports/.

    What this run took is in reports/runs/answers/JOB.json; all other files are the same for the same store.
    Only cells that the store lacks are answered, in this process or (`ray`) by the workers of a Ray cluster; the matrix
    is read from the store alone. BadParameter or BadInput name what is unknown or wrong, StoreError a damaged block.
    """
    opened = open_job(settings, workspace, job)
    with _runner(settings, workspace, runner) as run:
        stored = replace(opened.stored, runner=run)
        # A cluster's speed can't be measured here, where there may be no GPU: no time is said.
        timed_from = WORTH_TIMING if runner == "local" else sys.maxsize
        plans = stored.plan(opened.grid, settings.answers.block_texts, timed_from=timed_from)
        print(stored.describe(f"answers {job}", plans), flush=True)
        stats = stored.run(opened.grid, plans, job)
    cells = stored.read(opened.grid)
    figures = stored.figures(opened.grid)
    with atomic_folder(workspace.answers(job)) as folder:
        write_table(folder / "margin.parquet", _matrix(opened, cells.margin))
        write_table(folder / "mass.parquet", _matrix(opened, cells.mass))
        write_table(folder / "answered.parquet", _times(opened, stored.answered(opened.grid)))
        write_json(folder / "spec.json", job_spec(opened, figures))
    write_json(workspace.metrics("answers", job), figures | _figures(cells))
    write_json(workspace.run_figures("answers", job), _run_figures(stats))
    for line in _outcome(opened, cells, stats, figures):
        print(f"answers {job}: {line}")


@contextmanager
def _runner(settings: Settings, workspace: Workspace, name: str) -> Iterator[Runner | None]:
    if name == "local":
        yield None
        return
    with RayRunner(answerer_opener(settings, Workspace(workspace.root.absolute())), settings.answers.ray) as runner:
        yield runner


def _outcome(job: Job, cells: Answers, stats: RunStats, figures: dict[str, float]) -> list[str]:
    """Return the last lines for the user: cells and speed, then the figures or, of an approximation, what it is."""
    speed = f", {stats.cells_per_s:.1f} cells/s" if stats.cells else ""
    approximation = job.stored.answerer.approximation(figures)
    if approximation:
        now = f"{stats.cells:,} asked of `{approximation['answerer']}` now"
        return [f"{cells.margin.size:,} cells, {now}{speed}", approximation["claim"]]
    by = f" by {len(job.stored.members)} members" if job.stored.members else ""
    lines = [f"{cells.margin.size:,} cells, {stats.cells:,} answered now{by}{speed}"]
    return lines + ([", ".join(f"{name} {value:.4g}" for name, value in figures.items())] if figures else [])


def plan_job(settings: Settings, workspace: Workspace, job: str) -> None:
    """Print what the stage `answers` would do for a job: cells, tokens, and the time at the speed measured now."""
    opened = open_job(settings, workspace, job)
    stored = opened.stored
    plans = stored.plan(opened.grid, settings.answers.block_texts, timed_from=1)
    print(stored.describe(f"answers {job}", plans))
    for one in stored.storing:
        # The advice is for the whole grid, which members in turn do not answer.
        if isinstance(one.answerer, CausalAnswerer) and plans[one.name].n_missing and not stored.answerer.in_turn:
            _advise_order(f"answers {job}, {one.name}", one.answerer, opened.grid)


def _advise_order(title: str, answerer: CausalAnswerer, grid: Wanted) -> None:
    """Say so where the other order of the prompt takes clearly fewer tokens for the whole job."""
    tokens, other = (one.cost(grid.texts, grid.questions).tokens for one in (answerer, answerer.in_other_order()))
    if other < _CLEARLY * tokens:
        order = "question_first" if answerer.prompt.order == "text_first" else "text_first"
        print(
            f"{title}: prompt `{answerer.prompt.name}` is {answerer.prompt.order}; a prompt that is {order} would take "
            f"about {other:,} tokens for all cells, not {tokens:,} (another key, other answers: docs/prompts.md)"
        )


def open_job(settings: Settings, workspace: Workspace, name: str) -> Job:
    """Return a job with everything that it names; BadParameter or BadInput name what is unknown, missing or wrong."""
    job = require(settings.answers.jobs, name, "job", "params.yaml, section answers.jobs")
    stored = open_stored(settings, workspace, job.answerer)
    segments = read_table(workspace.segments(job.segmentation) / "segments.parquet")
    questions = load_set(workspace.questions, job.set)
    grid = Wanted(
        segment_ids=segments["segment_id"].tolist(),
        texts=segments["text"].tolist(),
        question_ids=[question.question_id for question in questions],
        questions=[question.text for question in questions],
    )
    grid.check()
    models = {one.name: _model(settings, workspace, one.name) for one in stored.storing}
    return Job(name, job, stored, models, grid, questions)


def _model(settings: Settings, workspace: Workspace, answerer: str) -> ModelInfo | None:
    name = settings.answers.spec[answerer].model
    return read_model_info(workspace.model(name)) if name else None


def _matrix(job: Job, values: NDArray[np.float32]) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=[question.name for question in job.questions])
    table.insert(0, "segment_id", list(job.grid.segment_ids))
    return table


def _times(job: Job, answered: NDArray[np.datetime64]) -> pd.DataFrame:
    # Milliseconds: Parquet knows no seconds.
    times = pd.to_datetime(answered.astype("datetime64[ms]"), utc=True)
    return pd.DataFrame({"segment_id": list(job.grid.segment_ids), "answered_at": times})


def job_spec(job: Job, figures: dict[str, float]) -> dict[str, Any]:
    """Return what the matrix is: a function of parameters, model, segments and questions, not of this run.

    `figures` are those of `Stored.figures`.
    """
    answerer = job.stored.answerer
    costs = (one.answerer.cost(job.grid.texts, job.grid.questions) for one in job.stored.storing)
    approximation = answerer.approximation(figures)
    return {
        "job": job.name,
        "answerer": job.settings.answerer,
        "key": answerer.key,
        "spec": answerer.spec,
        **({"approximates": approximation} if approximation else {}),
        **_models(job),
        "segmentation": job.settings.segmentation,
        "n_segments": len(job.grid.segment_ids),
        "n_cut": max(cost.n_cut for cost in costs),
        "set": job.settings.set,
        "questions": [{"name": q.name, "question_id": q.question_id, "text": q.text} for q in job.questions],
    }


def _models(job: Job) -> dict[str, Any]:
    """`model` and `model_digest`; of an ensemble or a cascade lists of these, in the order of `members`."""
    infos = [asdict(info) if info else None for info in job.models.values()]
    digests = [info.digest if info else None for info in job.models.values()]
    if not job.stored.members:
        return {"model": infos[0], "model_digest": digests[0]}
    return {"members": list(job.models), "model": infos, "model_digest": digests}


def _figures(cells: Answers) -> dict[str, float]:
    return {"cells": cells.margin.size, "mean_mass": round(float(cells.mass.mean(dtype=np.float64)), 6)}


def _run_figures(stats: RunStats) -> dict[str, float]:
    return {
        "cells_answered_now": stats.cells,
        "cells_per_s": round(stats.cells_per_s, 2),
        "tokens": stats.tokens,
        "seconds": round(stats.seconds, 2),
    }


def answerers(settings: Settings, workspace: Workspace) -> None:
    """Write `NAME.json` for the answerer of every job and task: its key and all that is in the key.

    `answers@JOB` and `downstream@TASK` depend on this file alone: not on code, nor on settings that change no answer
    (engine, batches, threads), and for an ensemble or a cascade on all that changes its members or its thresholds.
    BadParameter or BadInput name a wrong answerer.
    """
    jobs, tasks = settings.answers.jobs.values(), settings.downstream.tasks.values()
    names = list(dict.fromkeys([*(job.answerer for job in jobs), *(task.answerer for task in tasks)]))
    with atomic_folder(workspace.answerers) as folder:
        for name in names:
            answerer = open_stored(settings, workspace, name).answerer
            write_json(folder / f"{name}.json", {"name": name, "key": answerer.key, "spec": answerer.spec})
    print(f"answerers: {', '.join(names)}")
