"""Reading one answers job: the matrix, its spec and speed, validation's verdict, grades against gold.

Differences between encoding models and baselines, with the paired intervals of the room `encoding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.encoding.jackknife import Jackknife, confidence, paired_difference
from qaemb.errors import BadInput
from qaemb.files import read_json, read_table
from qaemb.report.collect import read_histogram
from qaemb.report.data import GRADE_COLUMNS, PAIR_COLUMNS, DriftFacts, JobFacts
from qaemb.settings import AnswererSettings, AnswersJob


@dataclass(frozen=True)
class JobPlaces:
    """Where the stages `answers` and `validate` put one job."""

    answers: Path
    metrics: Path
    validation: Path
    data_docs: Path
    reports: Path


def read_job(name: str, job: AnswersJob, answerer: AnswererSettings, places: JobPlaces) -> JobFacts | None:
    """Return what is known of a job; None where it has not been answered and validated."""
    if not (places.answers / "margin.parquet").exists() or not (places.validation / "validation.json").exists():
        return None
    spec, verdict = _json(places.answers / "spec.json"), read_json(places.validation / "validation.json")
    return JobFacts(
        job=name,
        answerer=answerer.named(job.answerer),
        engine=answerer.engine,
        model=_model(answerer, spec),
        segmentation=job.segmentation,
        question_set=job.set,
        n_segments=int(verdict["n_segments"]),
        n_questions=int(verdict["n_questions"]),
        margins=read_histogram(places.answers / "margin.parquet"),
        masses=read_histogram(places.answers / "mass.parquet", (0.0, 1.0)),
        summary=read_table(places.validation / "summary.parquet"),
        key=spec.get("key"),
        model_digest=None if answerer.parts else spec.get("model_digest"),
        prompt=answerer.prompt,
        cells_per_s=_number(_json(places.metrics).get("cells_per_s")),
        n_checks=sum(check["success"] for check in verdict.get("expectations", [])),
        grades=_grades(places.validation / "grades.csv"),
        data_docs=_page(places, "index.html"),
        drift=_drift(places, verdict),
        student=answerer.student_name,
        approximates=spec.get("approximates", {}).get("claim"),
    )


def _model(answerer: AnswererSettings, spec: dict[str, Any]) -> str:
    """What answered: the local model, a server's name of it, or the members that it is made of, each with its model."""
    if answerer.parts:
        infos = dict(zip(spec.get("members", []), spec.get("model", []), strict=False))
        named = {member: infos.get(member) for member in answerer.parts}
        return ", ".join(f"{member} ({info['name']})" if info else member for member, info in named.items())
    return answerer.model_name


def _grades(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    table = pd.read_csv(path)
    if not set(GRADE_COLUMNS) <= set(table):
        raise BadInput(f"{path} lacks some of the columns {GRADE_COLUMNS}; run `qaemb validate` again")
    return table


def _drift(places: JobPlaces, verdict: dict[str, Any]) -> DriftFacts | None:
    found = verdict.get("drift")
    return DriftFacts(found["said"], found["found"], _page(places, "drift.html")) if found else None


def _page(places: JobPlaces, name: str) -> str | None:
    page = places.data_docs / name
    return page.relative_to(places.reports).as_posix() if page.exists() else None


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def paired(means: Mapping[str, Mapping[str, Jackknife]], baselines: Sequence[str]) -> pd.DataFrame:
    """Return PAIR_COLUMNS, a row per subject, model and other baseline: mean r of the model minus the baseline's.

    `means` maps model -> subject -> its jackknifed mean r. Models that were scored on other rows, voxels or blocks than
    the baseline (`Jackknife.key`: a subject of whom only one model was fitted again, say) are left out, as nothing
    pairs them.
    """
    rows = []
    for baseline in baselines:
        for model, subjects in means.items():
            if model == baseline:
                continue
            for subject, of in subjects.items():
                other = means.get(baseline, {}).get(subject)
                if other is not None and other.key == of.key:
                    difference = paired_difference(of, other)
                    found = confidence(difference)
                    numbers = (float(value) for value in (difference.value, found.low, found.high))
                    rows.append((subject, model, baseline, *numbers))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)
