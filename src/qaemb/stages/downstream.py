"""Stage `downstream`: an NLP task on answers, beside baselines on the same texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import Answers
from qaemb.answers.plan import Wanted
from qaemb.errors import BadParameter
from qaemb.files import atomic_folder, write_json
from qaemb.models.encoder import Encoder
from qaemb.models.vectors import vectors_of
from qaemb.questions import Question, load_set
from qaemb.settings import Settings, TaskSettings
from qaemb.stages.answers import open_stored
from qaemb.tasks import Features, TaskResult, evaluate_task, read_task
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace


def downstream(settings: Settings, workspace: Workspace, task: str) -> None:
    """Write data/work/downstream/TASK (a CSV a table), the metrics, and an MLflow run a method; print the scores.

    Texts that the store has no answers for are answered and kept. BadParameter for an unknown task, BadInput for what
    is wrong with its data.
    """
    own = _settings_of(settings, task)
    result = evaluate(settings, workspace, task, own)
    metrics = metrics_of(result)
    with atomic_folder(workspace.downstream(task)) as folder:
        for name, table in {"scores": _scores(result), **result.tables}.items():
            table.to_csv(folder / f"{name}.csv", index=False)
    write_json(workspace.metrics("downstream", task), metrics)
    _log(settings, workspace, task, own, result)
    for note in result.notes:
        print(f"downstream {task}: {note}")
    print(f"downstream {task} ({own.kind}, answers of `{own.answerer}`)\n{_shown(result)}")


def evaluate(settings: Settings, workspace: Workspace, task: str, own: TaskSettings) -> TaskResult:
    """Return the scores of a task, which need not be in params.yaml; texts are answered as above."""
    data = read_task(own, workspace.root / own.data)
    return evaluate_task(data, _features(settings, workspace, task, own, data.texts), own)


def metrics_of(result: TaskResult) -> dict[str, Any]:
    """Return what compares methods, by name, then each method's metrics under the method's name."""
    return dict(result.metrics) | {method.name: dict(method.metrics) for method in result.methods}


def _settings_of(settings: Settings, task: str) -> TaskSettings:
    tasks = settings.downstream.tasks
    if task not in tasks:
        raise BadParameter(f"no task `{task}` in params.yaml: downstream.tasks ({', '.join(tasks) or 'empty'})")
    return tasks[task]


def _features(settings: Settings, workspace: Workspace, task: str, own: TaskSettings, texts: list[str]) -> Features:
    questions = list(load_set(workspace.questions, own.set))
    answers = _answers(settings, workspace, task, own, texts, questions)
    encoder, kept = Encoder(workspace.model(own.encoder)), workspace.vectors(settings.answers.store)
    wording = [question.text for question in questions]
    return Features(
        texts,
        questions,
        answers.margin,
        answers.mass,
        vectors_of(encoder, texts, kept),
        vectors_of(encoder, wording, kept),
    )


def _answers(
    settings: Settings,
    workspace: Workspace,
    task: str,
    own: TaskSettings,
    texts: list[str],
    questions: list[Question],
) -> Answers:
    """Return the answers (texts, questions); what the store lacks is answered first."""
    stored = open_stored(settings, workspace, own.answerer)
    wanted = Wanted.of(texts, [question.text for question in questions])
    return stored.get(wanted, settings.answers.block_texts, f"downstream {task}")


def _scores(result: TaskResult) -> pd.DataFrame:
    """Return a row a method, a column a metric."""
    return pd.DataFrame([{"method": method.name, **method.metrics} for method in result.methods])


def _shown(result: TaskResult) -> str:
    """Return the scores as text, without the ends of intervals, which are in scores.csv."""
    table = _scores(result)
    ends = [column for column in table if str(column).endswith(("_low", "_high"))]
    return table.drop(columns=ends).to_string(index=False, float_format="{:.3f}".format, na_rep="")


def _log(settings: Settings, workspace: Workspace, task: str, own: TaskSettings, result: TaskResult) -> None:
    """Write an MLflow run per method, under the run of the task, which holds the tables."""
    inputs = [workspace.root / own.data, workspace.questions, workspace.model(own.encoder)]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("downstream", task)])
    shared: dict[str, Any] = {"task": task, **own.model_dump()}
    tracker = Tracker(workspace.mlruns)
    parent = tracker.parent_run("downstream", task, f"{own.kind} {task}", shared, tags)
    records = [
        RunRecord(f"{task} {method.name}", {**shared, "method": method.name, **method.params}, method.metrics, tags)
        for method in result.methods
    ]
    tracker.log_runs("downstream", records, parent)
    finite = {name: value for name, value in result.metrics.items() if np.isfinite(value)}
    tracker.add(parent, finite, sorted(workspace.downstream(task).glob("*.csv")))
