"""Reading one answers job (its matrix, spec, verdict and grades), and the differences between encoding models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from qaemb.encoding.jackknife import Jackknife, confidence, paired_difference
from qaemb.errors import BadInput
from qaemb.files import read_json, read_table
from qaemb.report.data import GRADE_COLUMNS, PAIR_COLUMNS, DriftFacts, Histogram, JobFacts
from qaemb.settings import AnswererSettings, AnswersJob

_BINS = 60


@dataclass(frozen=True)
class JobPlaces:
    """Where the stages `answers` and `validate` put one job."""

    answers: Path
    validation: Path
    data_docs: Path
    reports: Path


def read_job(name: str, job: AnswersJob, answerer: AnswererSettings, places: JobPlaces) -> JobFacts | None:
    """Return the facts of a job; None if it has not been answered and validated."""
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
        margins=_read_histogram(places.answers / "margin.parquet"),
        masses=_read_histogram(places.answers / "mass.parquet", (0.0, 1.0)),
        summary=read_table(places.validation / "summary.parquet"),
        key=spec.get("key"),
        model_digest=None if answerer.parts else spec.get("model_digest"),
        prompt=answerer.prompt,
        n_checks=sum(check["success"] for check in verdict.get("expectations", [])),
        grades=_grades(places.validation / "grades.csv"),
        data_docs=_page(places, "index.html"),
        drift=_drift(places, verdict),
        student=answerer.student,
        approximates=spec.get("approximates", {}).get("claim"),
    )


def _model(answerer: AnswererSettings, spec: dict[str, Any]) -> str:
    """Return the model's name: the local model's, the server's, or each member's with its model."""
    if answerer.parts:
        infos = dict(zip(spec.get("members", []), spec.get("model", []), strict=False))
        members = {member: infos.get(member) for member in answerer.parts}
        return ", ".join(f"{member} ({info['name']})" if info else member for member, info in members.items())
    return answerer.model or (answerer.server.model if answerer.server else "")


def _grades(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    table = pd.read_csv(path)
    if not set(GRADE_COLUMNS) <= set(table):
        raise BadInput(f"{path} lacks some of the columns {GRADE_COLUMNS}; run `qaemb validate` again")
    return table


def _drift(places: JobPlaces, verdict: dict[str, Any]) -> DriftFacts | None:
    drift = verdict.get("drift")
    return DriftFacts(drift["said"], drift["found"], _page(places, "drift.html")) if drift else None


def _page(places: JobPlaces, name: str) -> str | None:
    page = places.data_docs / name
    return page.relative_to(places.reports).as_posix() if page.exists() else None


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _read_histogram(matrix: Path, limits: tuple[float, float] | None = None) -> Histogram:
    """Return the histogram of all cells of a margin or mass matrix, column by column, so that memory stays small.

    Without `limits` the bins span all finite values; with them, values outside count in the first or last bin.
    """
    if not matrix.exists():
        raise BadInput(f"{matrix} does not exist; run `dvc repro` to make it")
    file = pq.ParquetFile(matrix)
    names = [name for name in file.schema_arrow.names if name != "segment_id"]
    low, high = limits or _span(file, names)
    edges = np.linspace(low, high, _BINS + 1)
    counts = np.zeros(_BINS, dtype=np.int64)
    for name in names:
        counts += np.histogram(np.clip(_column(file, name), low, high), edges)[0]
    return Histogram(counts, edges)


def _span(file: pq.ParquetFile, names: list[str]) -> tuple[float, float]:
    ends = [(values.min(), values.max()) for values in (_column(file, name) for name in names) if values.size]
    low, high = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _column(file: pq.ParquetFile, name: str) -> np.ndarray:
    values = file.read(columns=[name]).column(0).to_numpy()
    return values[np.isfinite(values)]


def paired(means: Mapping[str, Mapping[str, Jackknife]], baselines: Sequence[str]) -> pd.DataFrame:
    """Return PAIR_COLUMNS, a row per subject, model and other baseline: mean r of the model minus the baseline's.

    `means` maps model -> subject -> its jackknifed mean r. A model that was scored on other rows, voxels or blocks than
    the baseline (another `Jackknife.key`, say after one of the two was fitted again) is left out: no block pairs them.
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
                    interval = confidence(difference)
                    numbers = (float(value) for value in (difference.value, interval.low, interval.high))
                    rows.append((subject, model, baseline, *numbers))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)
