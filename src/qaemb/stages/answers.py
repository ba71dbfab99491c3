"""Stage `answers`: answer what the store lacks of a job, then write the job's matrix from the store.

Stage `answerers`: the key of every answerer that a job uses, so that `answers` runs again when a key changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers import Answers, CascadeAnswerer, open_answerer
from qaemb.answers.cascade import saved_text
from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.answers.plan import Wanted
from qaemb.answers.ray_runner import RayRunner
from qaemb.answers.run import RunStats
from qaemb.answers.stored import WORTH_TIMING, Runner, Stored, run_here
from qaemb.errors import BadParameter
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.models.folder import ModelInfo, read_model_info
from qaemb.questions import Question, load_set
from qaemb.settings import AnswersJob, Settings
from qaemb.workspace import Workspace

_CLEARLY = 0.9  # of the tokens: a smaller gain is not worth another prompt


@dataclass(frozen=True)
class Job:
    """A job with everything it names looked up; `models` by answerer, None where it has no local model."""

    name: str
    settings: AnswersJob
    stored: Stored
    models: dict[str, ModelInfo | None]
    wanted: Wanted
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
        plans = stored.plan(opened.wanted, settings.answers.block_texts, timed_from=timed_from)
        print(stored.describe(f"answers {job}", plans), flush=True)
        stats = stored.run(opened.wanted, plans, job)
    found = opened.stored.read(opened.wanted)
    answered = opened.stored.answered(opened.wanted)
    measured = opened.stored.figures(opened.wanted)
    with atomic_folder(workspace.answers(job)) as folder:
        write_table(folder / "margin.parquet", _matrix(opened, found.margin))
        write_table(folder / "mass.parquet", _matrix(opened, found.mass))
        write_table(folder / "answered.parquet", _times(opened, answered))
        write_json(folder / "spec.json", job_spec(opened, measured))
    write_json(workspace.metrics("answers", job), measured | _figures(found))
    write_json(workspace.run_figures("answers", job), _run_figures(stats))
    for line in _outcome(opened, found, stats, measured):
        print(f"answers {job}: {line}")


@contextmanager
def _runner(settings: Settings, workspace: Workspace, name: str) -> Iterator[Runner]:
    if name == "local":
        yield run_here
        return
    here = Workspace(workspace.root.absolute())
    named = partial(open_answerer, spec=settings.answers.spec, model_folder=here.model, root=here.root)
    with RayRunner(named, settings.answers.ray) as runner:
        yield runner


def _outcome(job: Job, found: Answers, stats: RunStats, measured: dict[str, float]) -> list[str]:
    """Return what the user is told at the end: cells and speed, and what was measured or, of a cascade, what it is."""
    speed = f", {stats.cells_per_s:.1f} cells/s" if stats.cells else ""
    if isinstance(job.stored.answerer, CascadeAnswerer):
        now = f"{stats.cells:,} asked of `{job.stored.answerer.names[1]}` now"
        return [f"{found.margin.size:,} cells, {now}{speed}", _approximates(job, measured)["claim"]]
    by = f" by {len(job.stored.members)} members" if job.stored.members else ""
    lines = [f"{found.margin.size:,} cells, {stats.cells:,} answered now{by}{speed}"]
    return lines + ([", ".join(f"{name} {value:.4g}" for name, value in measured.items())] if measured else [])


def plan_job(settings: Settings, workspace: Workspace, job: str) -> None:
    """Print what the stage `answers` would do for a job: cells, tokens, and the time at the speed measured now."""
    opened = open_job(settings, workspace, job)
    plans = opened.stored.plan(opened.wanted, settings.answers.block_texts, timed_from=1)
    print(opened.stored.describe(f"answers {job}", plans))
    for name, answerer in opened.stored.causal().items():
        # What a cascade asks its teacher is not the whole grid, for which the advice is worked out.
        if plans[name].n_missing and not isinstance(opened.stored.answerer, CascadeAnswerer):
            _advise_order(f"answers {job}, {name}", answerer, opened.wanted)


def _advise_order(title: str, answerer: CausalAnswerer, wanted: Wanted) -> None:
    """Say so where the other order of the prompt takes clearly fewer tokens for the whole job."""
    own, other = (one.cost(wanted.texts, wanted.questions).tokens for one in (answerer, answerer.in_other_order()))
    if other < _CLEARLY * own:
        order = "question_first" if answerer.prompt.order == "text_first" else "text_first"
        print(
            f"{title}: prompt `{answerer.prompt.name}` is {answerer.prompt.order}; a prompt that is {order} would take "
            f"about {other:,} tokens for all cells, not {own:,} (another key, other answers: docs/prompts.md)"
        )


def open_job(settings: Settings, workspace: Workspace, name: str) -> Job:
    """Return a job with everything that it names; BadParameter or BadInput name what is unknown, missing or wrong."""
    jobs = settings.answers.jobs
    if name not in jobs:
        raise BadParameter(f"no job `{name}` in params.yaml, section answers.jobs; there are: {', '.join(jobs)}")
    job = jobs[name]
    answerer = open_answerer(job.answerer, settings.answers.spec, workspace.model, workspace.root)
    stored = Stored(job.answerer, answerer, workspace.store(settings.answers.store))
    segments = read_table(workspace.segments(job.segmentation) / "segments.parquet")
    questions = load_set(workspace.questions, job.set)
    wanted = Wanted(
        segment_ids=segments["segment_id"].tolist(),
        texts=segments["text"].tolist(),
        question_ids=[question.question_id for question in questions],
        questions=[question.text for question in questions],
    )
    wanted.check()
    names = [member.name for member in stored.members] or [job.answerer]
    models = {own: _model(settings, workspace, own) for own in names}
    return Job(name, job, stored, models, wanted, questions)


def _model(settings: Settings, workspace: Workspace, answerer: str) -> ModelInfo | None:
    name = settings.answers.spec[answerer].model
    return read_model_info(workspace.model(name)) if name else None


def _matrix(job: Job, values: NDArray[np.float32]) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=[question.name for question in job.questions])
    table.insert(0, "segment_id", list(job.wanted.segment_ids))
    return table


def _times(job: Job, answered: NDArray[np.datetime64]) -> pd.DataFrame:
    # Milliseconds: Parquet knows no seconds.
    times = pd.to_datetime(answered.astype("datetime64[ms]"), utc=True)
    return pd.DataFrame({"segment_id": list(job.wanted.segment_ids), "answered_at": times})


def job_spec(job: Job, measured: dict[str, float]) -> dict[str, Any]:
    """What the matrix is, in full: a function of parameters, model, segments and questions, not of this run."""
    answerer = job.stored.answerer
    costs = (one.answerer.cost(job.wanted.texts, job.wanted.questions) for one in job.stored.members or (job.stored,))
    is_cascade = isinstance(answerer, CascadeAnswerer)
    return {
        "job": job.name,
        "answerer": job.settings.answerer,
        "key": answerer.key,
        "spec": answerer.spec,
        **({"approximates": _approximates(job, measured)} if is_cascade else {}),
        **_models(job),
        "segmentation": job.settings.segmentation,
        "n_segments": len(job.wanted.segment_ids),
        "n_cut": max(cost.n_cut for cost in costs),
        "set": job.settings.set,
        "questions": [{"name": q.name, "question_id": q.question_id, "text": q.text} for q in job.questions],
    }


def _approximates(job: Job, measured: dict[str, float]) -> dict[str, Any]:
    """What a cascade's matrix says of itself wherever it is named: the sentence `claim`, and its parts."""
    cascade = cast(CascadeAnswerer, job.stored.answerer)
    evidence = cascade.thresholds.evidence
    n_cells, n_saved = int(measured["cells"]), int(measured["calls_saved"])
    return {
        "answerer": cascade.names[1],
        "key": cascade.teacher.key,
        "agreement": evidence.target,
        "confidence": evidence.confidence,
        "calls_saved": n_saved,
        "share_saved": measured["share_saved"],
        "claim": f"{cascade.claim}; {saved_text(n_cells, n_saved)}",
    }


def _models(job: Job) -> dict[str, Any]:
    """`model` and `model_digest`; of an ensemble or a cascade lists of these, in the order of `members`."""
    infos = [asdict(info) if info else None for info in job.models.values()]
    digests = [info.digest if info else None for info in job.models.values()]
    if not job.stored.members:
        return {"model": infos[0], "model_digest": digests[0]}
    return {"members": list(job.models), "model": infos, "model_digest": digests}


def _figures(found: Answers) -> dict[str, float]:
    return {"cells": found.margin.size, "mean_mass": round(float(found.mass.mean(dtype=np.float64)), 6)}


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
            answerer = open_answerer(name, settings.answers.spec, workspace.model, workspace.root)
            write_json(folder / f"{name}.json", {"name": name, "key": answerer.key, "spec": answerer.spec})
    print(f"answerers: {', '.join(names)}")
