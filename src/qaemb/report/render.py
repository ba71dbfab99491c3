"""The page: findings and figures in, one HTML text out that needs no other file, no network and no JavaScript."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qaemb.encoding.scores import ALPHA
from qaemb.report.data import Findings, Interpretation, JobFacts
from qaemb.report.figures import file_name
from qaemb.report.sentences import grade_in_words, needs_real_model, sentences

_CLUSTERS = 5  # clusters of questions listed for a subject
_NOTHING = "–"  # what a cell shows where there is no number


def render(findings: Findings, figures: Mapping[str, bytes]) -> str:
    """Return the page; `figures` maps file names (`figures.file_name`) to PNG bytes, which become part of the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("qaemb.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "percent": _percent, "thousands": _thousands}
    environment.lstrip_blocks = True
    page = environment.get_template("report.html")
    return page.render(
        f=findings,
        sentences=sentences(findings),
        needs_real_model=needs_real_model(findings),
        grade_in_words=grade_in_words,
        taught=_taught_changes(findings.jobs),
        scores=_score_rows(findings),
        baselines=list(findings.pairs["baseline"].unique()),
        curve=_rows(findings.curve_table()),
        importance=_importance(findings),
        interpretations=[_interpretation(one, findings.n_top_questions) for one in findings.interpretations],
        tasks=_tasks(findings),
        drawn=lambda *parts: file_name(*parts) in figures,
        image=lambda *parts: _data_uri(figures, file_name(*parts)),
    )


def number(value: Any, digits: int = 3) -> str:
    """Return a number with fixed digits and a real minus sign, a dash where there is none.

    >>> number(-0.0312), number(float("nan")), number(None)
    ('−0.031', '–', '–')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _NOTHING
    return f"{value:.{digits}f}".replace("-", "−")


def _percent(value: Any) -> str:
    """Return a share as whole percent, a dash where there is none."""
    return _NOTHING if number(value) == _NOTHING else f"{value:.0%}".replace("-", "−")


def _thousands(value: Any) -> str:
    """Return a count with narrow spaces between thousands, a dash where there is none.

    >>> _thousands(1234567)
    '1\\u202f234\\u202f567'
    """
    return _NOTHING if number(value) == _NOTHING else f"{round(value):,}".replace(",", "\u202f")


def _score_rows(findings: Findings) -> dict[str, list[dict[str, Any]]]:
    """Return subject -> rows of its table, the best model first, each with `bar`, its length in percent."""
    table = findings.score_table()
    top = table["mean_r"].max()
    return {
        str(subject): [row | {"bar": _bar(row["mean_r"], top)} for row in _rows(part)]
        for subject, part in table.sort_values("mean_r", ascending=False).groupby("subject", sort=True)
    }


def _tasks(findings: Findings) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Return (task, kind, metric) -> a row per method, the best first, each with `bar`, its length in percent."""
    by_task: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (task, kind, metric), table in findings.tasks.groupby(["task", "kind", "metric"], sort=False):
        rows, top = _rows(table.sort_values("value", ascending=False)), table["value"].max()
        by_task[str(task), str(kind), str(metric)] = [row | {"bar": _bar(row["value"], top)} for row in rows]
    return by_task


def _bar(value: float, top: float) -> float:
    """Return the length of a score's bar in percent of the longest; none for what is missing or below 0."""
    return round(100 * value / top, 1) if math.isfinite(value) and value > 0 else 0.0


def _importance(findings: Findings) -> dict[str, list[tuple[str, list[dict[str, Any]]]]]:
    """Return model -> (subject, its questions)."""
    by_model: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {}
    for (model, subject), table in findings.importance.groupby(["model", "subject"], sort=False):
        by_model.setdefault(str(model), []).append((str(subject), _rows(table)))
    return by_model


def _interpretation(interpretation: Interpretation, n: int) -> dict[str, Any]:
    """Return a model's subjects with their questions that add most, its spaces and larger clusters likewise."""
    subjects = []
    for subject, questions in interpretation.questions.groupby("subject", sort=False):
        sets = interpretation.sets[interpretation.sets["subject"] == subject]
        spaces = sets[sets["kind"] == "space"].sort_values("unique_r", ascending=False)
        clusters = sets[sets["kind"] == "cluster"].nlargest(_CLUSTERS, "unique_r")
        neighbours = interpretation.clusters[["question", "nearest", "r"]]
        top = questions.nlargest(n, "unique_r").merge(neighbours, on="question")
        adding = int(((questions["unique_r_q"] < ALPHA) & (questions["unique_r"] > 0)).sum())
        subjects.append((str(subject), adding, len(questions), _rows(top), _rows(pd.concat([spaces, clusters]))))
    n_clusters = int(interpretation.clusters["cluster"].max())
    return {"model": interpretation.model, "subjects": subjects, "n_clusters": n_clusters}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _data_uri(figures: Mapping[str, bytes], name: str) -> str:
    return "data:image/png;base64," + base64.b64encode(figures[name]).decode("ascii")


_CHANGE_COLUMNS = ["question", "zero_shot", "trained", "change"]


@dataclass(frozen=True)
class _TaughtChange:
    """Two jobs on the same sentences, and the AUC of each question in both: _CHANGE_COLUMNS, largest change first."""

    trained: str
    zero_shot: str
    table: pd.DataFrame

    @property
    def sentence(self) -> str:
        """The change in a sentence."""
        means, change = self.table.mean(numeric_only=True), self.table["change"]
        better, worse = int((change > 0.005).sum()), int((change < -0.005).sum())
        return (
            f"Training moved the mean AUC against the gold answers from {means['zero_shot']:.3f} to "
            f"{means['trained']:.3f} over {len(self.table)} questions: {better} are answered better, {worse} worse."
        )


def _taught_changes(jobs: Sequence[JobFacts]) -> list[_TaughtChange]:
    """Return a change for each graded job of a trained student that has a zero-shot job on the same segmentation."""
    graded = [job for job in jobs if job.engine == "student" and job.grades is not None and job.n_graded]
    changes = []
    for trained in (job for job in graded if job.student):
        for plain in (job for job in graded if not job.student and job.segmentation == trained.segmentation):
            assert trained.grades is not None
            assert plain.grades is not None
            both = plain.grades[["name", "auc"]].merge(trained.grades[["name", "auc"]], on="name").dropna()
            both.columns = pd.Index(_CHANGE_COLUMNS[:3])
            both["change"] = both["trained"] - both["zero_shot"]
            if len(both):
                table = both.sort_values("change", ascending=False, ignore_index=True)
                changes.append(_TaughtChange(trained.job, plain.job, table))
    return changes
