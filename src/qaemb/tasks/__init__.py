"""NLP tasks on answers, beside baselines: what readable features are good for without a brain in sight.

A task is of a kind: each kind is read and evaluated by a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qaemb.settings import ClusteringTask, TaskSettings
from qaemb.tasks.classification import evaluate_classification
from qaemb.tasks.clustering import Described, evaluate_clustering
from qaemb.tasks.labelled import read_labelled
from qaemb.tasks.retrieval import evaluate_retrieval, read_retrieval
from qaemb.tasks.similarity import evaluate_similarity, read_pairs
from qaemb.tasks.task import Features, MethodResult, Task, TaskResult

__all__ = ["MAIN_METRIC", "Features", "MethodResult", "Task", "TaskResult", "evaluate_task", "read_task"]

_READ: dict[str, Callable[[Path], Any]] = {
    "similarity": read_pairs,
    "retrieval": read_retrieval,
    "classification": read_labelled,
    "clustering": read_labelled,
}
_EVALUATE: dict[str, Callable[[Any, Features, Any], TaskResult]] = {
    "similarity": evaluate_similarity,
    "retrieval": evaluate_retrieval,
    "classification": evaluate_classification,
    "clustering": evaluate_clustering,
}
MAIN_METRIC = {
    "similarity": "spearman",
    "retrieval": "ndcg_10",
    "classification": "accuracy",
    "clustering": "v_measure",
}
"""The metric of each kind that a summary shows, with its interval in `METRIC_low` and `METRIC_high`."""


def read_task(settings: TaskSettings, path: Path) -> Task:
    """Return the data set at a path as the task's kind reads it; BadInput names the file and row that is wrong."""
    data = _READ[settings.kind](path)
    return Described(data, settings.clustering.describe) if isinstance(settings, ClusteringTask) else data


def evaluate_task(task: Task, features: Features, settings: TaskSettings) -> TaskResult:
    """Return the scores of all methods on a task."""
    return _EVALUATE[settings.kind](task, features, settings)
