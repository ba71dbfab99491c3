"""Stage `downstream`: evaluate an NLP task on answers, beside baselines on the same texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import Answers, open_answerer
from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.errors import require
from qaemb.files import atomic_folder, write_json
from qaemb.identity import text_id
from qaemb.models.encoder import Encoder
from qaemb.models.vectors import vectors_of
from qaemb.questions import Question, load_set
from qaemb.settings import Settings, TaskSettings
from qaemb.tasks import Features, TaskResult, evaluate_task, read_task
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace


def downstream(settings: Settings, workspace: Workspace, task: str) -> None:
    """Write data/work/downstream/TASK (a CSV a table), the metrics, and an MLflow run a method; print the scores.

    Texts without answers in the store are answered, and the answers are stored. BadParameter for an unknown task;
    BadInput names what is wrong with the data.
    """
    spec = require(settings.downstream.tasks, task, "task", "downstream.tasks")
    result = evaluate(settings, workspace, task, spec)
    metrics = metrics_of(result)
    with atomic_folder(workspace.downstream(task)) as folder:
        for name, table in {"scores": _scores(result), **result.tables}.items():
            table.to_csv(folder / f"{name}.csv", index=False)
    write_json(workspace.metrics("downstream", task), metrics)
    _log(settings, workspace, task, spec, result)
    for note in result.notes:
        print(f"downstream {task}: {note}")
    print(f"downstream {task} ({spec.kind}, answers of `{spec.answerer}`)\n{_shown(result)}")


def evaluate(settings: Settings, workspace: Workspace, task: str, spec: TaskSettings) -> TaskResult:
    """Return the scores of a task, which need not be in params.yaml; texts are answered as by `downstream`."""
    data = read_task(spec, workspace.root / spec.data)
    return evaluate_task(data, _features(settings, workspace, task, spec, data.texts), spec)


def metrics_of(result: TaskResult) -> dict[str, Any]:
    """Return what compares methods, by name, then each method's metrics under the method's name."""
    return dict(result.metrics) | {method.name: dict(method.metrics) for method in result.methods}


def _features(settings: Settings, workspace: Workspace, task: str, spec: TaskSettings, texts: list[str]) -> Features:
    questions = list(load_set(workspace.questions, spec.set))
    answers = _answers(settings, workspace, task, spec, texts, questions)
    encoder, store = Encoder(workspace.model(spec.encoder)), workspace.vectors(settings.answers.store)
    wording = [question.text for question in questions]
    return Features(
        texts,
        questions,
        answers.margin,
        answers.mass,
        vectors_of(encoder, texts, store),
        vectors_of(encoder, wording, store),
    )


def _answers(
    settings: Settings,
    workspace: Workspace,
    task: str,
    spec: TaskSettings,
    texts: list[str],
    questions: list[Question],
) -> Answers:
    """Return the answers (texts, questions); cells that the store lacks are answered first."""
    answerer = open_answerer(spec.answerer, settings.answers.spec, workspace.model, workspace.root)
    stored = Stored(spec.answerer, answerer, workspace.store(settings.answers.store))
    cells = Wanted(
        [text_id(text) for text in texts],
        texts,
        [question.question_id for question in questions],
        [question.text for question in questions],
    )
    plans = stored.plan(cells, settings.answers.block_texts)
    print(stored.describe(f"downstream {task}", plans), flush=True)
    stored.run(cells, plans, task)
    return stored.read(cells)


def _scores(result: TaskResult) -> pd.DataFrame:
    """Return a row a method, a column a metric."""
    return pd.DataFrame([{"method": method.name, **method.metrics} for method in result.methods])


def _shown(result: TaskResult) -> str:
    """Return the scores as text, without the ends of intervals, which are in scores.csv."""
    table = _scores(result)
    ends = [column for column in table if str(column).endswith(("_low", "_high"))]
    return table.drop(columns=ends).to_string(index=False, float_format="{:.3f}".format, na_rep="")


def _log(settings: Settings, workspace: Workspace, task: str, spec: TaskSettings, result: TaskResult) -> None:
    """Write an MLflow run per method, under the run of the task, which holds the tables."""
    inputs = [workspace.root / spec.data, workspace.questions, workspace.model(spec.encoder)]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("downstream", task)])
    shared: dict[str, Any] = {"task": task, **spec.model_dump()}
    tracker = Tracker(workspace.mlruns)
    parent = tracker.parent_run("downstream", task, f"{spec.kind} {task}", shared, tags)
    records = [
        RunRecord(f"{task} {method.name}", {**shared, "method": method.name, **method.params}, method.metrics, tags)
        for method in result.methods
    ]
    tracker.log_runs("downstream", records, parent)
    finite = {name: value for name, value in result.metrics.items() if np.isfinite(value)}
    tracker.add(parent, finite, sorted(workspace.downstream(task).glob("*.csv")))
