"""Which figures a page has, by file name: every one drawn from the findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.report.brain import cortex_figure
from qaemb.report.data import CortexMap, Findings, Histogram, Interpretation, JobFacts, Selection
from qaemb.report.figures import (
    bars_figure,
    curve_figure,
    grades_figure,
    histogram_figure,
    importance_figure,
    redundancy_figure,
    scores_figure,
)

Drawing = tuple[str, Callable[[], bytes]]


def draw(findings: Findings) -> dict[str, bytes]:
    """Return file name -> PNG bytes of every figure that the findings have numbers for, in the order of the page."""
    waiting = list(_drawings(findings))
    shown = tqdm(waiting, desc="figures", unit="figure", leave=False)
    return {name: make() for name, make in shown}


def file_name(*parts: str) -> str:
    """Return a file name for a figure; what a file system may not take becomes `-`.

    >>> file_name("importance", "qa/llm", "UTS01")
    'importance_qa-llm_UTS01.png'
    """
    return "_".join(re.sub(r"[^\w.+-]", "-", part) for part in parts) + ".png"


def _drawings(findings: Findings) -> Iterator[Drawing]:
    for name, scores in findings.scores.groupby("subject", sort=False):
        yield file_name("scores", str(name)), _scores(str(name), scores)
    for selection in findings.selections:
        yield file_name("curve", selection.space), _curve(selection)
    for job in findings.jobs:
        yield from _answers(job)
    for (model, subject), table in findings.importance.groupby(["model", "subject"], sort=False):
        yield file_name("importance", str(model), str(subject)), _importance(str(model), str(subject), table)
    for interpretation in findings.interpretations:
        yield from _meaning(interpretation, findings.n_top_questions)
    limit = _limit(findings.maps)
    for one in findings.maps:
        yield file_name("cortex", one.subject), _cortex(findings.map_model, one, limit)


def _scores(subject: str, scores: pd.DataFrame) -> Callable[[], bytes]:
    return lambda: scores_figure(subject, scores)


def _curve(selection: Selection) -> Callable[[], bytes]:
    title = f"{selection.space}: score by number of questions"
    return lambda: curve_figure(title, selection.curve, len(selection.chosen))


def _answers(job: JobFacts) -> Iterator[Drawing]:
    cells = "share of cells"
    labels = ("margin (nats); above 0 means yes", cells)
    yield file_name("margins", job.job), lambda: histogram_figure("Margins", labels, job.margins, 0.0)
    rates = Histogram(*np.histogram(job.summary["yes_rate"].dropna(), np.linspace(0, 1, 21)))
    of_questions = ("share of segments answered yes", "share of questions")
    yield file_name("yes_rates", job.job), lambda: histogram_figure("Yes rates", of_questions, rates)
    if np.count_nonzero(job.masses.counts) > 1:  # a student's mass is 1 by definition
        of_mass = ("P(yes) + P(no)", cells)
        yield file_name("mass", job.job), lambda: histogram_figure("Mass", of_mass, job.masses)
    grades = job.grades
    if grades is not None and grades["auc"].notna().any():
        title = f"{job.answerer}: AUC per question"
        yield file_name("grades", job.job), lambda: grades_figure(title, list(grades["name"]), list(grades["auc"]))


def _importance(model: str, subject: str, table: pd.DataFrame) -> Callable[[], bytes]:
    return lambda: importance_figure(f"{subject}, {model}", table)


def _meaning(found: Interpretation, n: int) -> Iterator[Drawing]:
    for subject, table in found.questions.groupby("subject", sort=False):
        title = f"{subject}, {found.model}"
        for figure, measure in (("adds", "unique_r"), ("replicates", "importance")):
            yield file_name(figure, found.model, str(subject)), _bars(title, table, measure, n)
    title = f"{found.model}: correlation of the questions"
    yield file_name("redundancy", found.model), lambda: redundancy_figure(title, found.r, found.clusters)


def _bars(title: str, table: pd.DataFrame, measure: str, n: int) -> Callable[[], bytes]:
    return lambda: bars_figure(title, table, measure, n)


def _cortex(model: str, one: CortexMap, limit: float) -> Callable[[], bytes]:
    return lambda: cortex_figure(f"{one.subject}: r of {model}", one.voxels, one.r, limit)


def _limit(maps: tuple[CortexMap, ...]) -> float:
    """Return one colour limit for all subjects: the 99th percentile of |r|, so that no few voxels bleach the rest."""
    values = [np.abs(one.r[np.isfinite(one.r)]) for one in maps]
    together = np.concatenate(values) if values else np.empty(0)
    return max(0.05, float(np.percentile(together, 99))) if together.size else 1.0
