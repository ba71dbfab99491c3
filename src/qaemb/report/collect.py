"""Reading what the stages wrote into the report's parts; a file that is optional in the contract may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from qaemb.encoding.interpretation import ALL
from qaemb.errors import BadInput
from qaemb.files import read_json, read_table
from qaemb.questions.sets import read_set_file
from qaemb.report.data import (
    CURVE_COLUMNS,
    IMPORTANCE_COLUMNS,
    QUESTION_COLUMNS,
    SCORE_COLUMNS,
    SCORE_NUMBERS,
    TASK_COLUMNS,
    CortexMap,
    DatasetFacts,
    Histogram,
    Interpretation,
    QuestionFacts,
    Selection,
)

_BINS = 60


def read_dataset(name: str, folder: Path) -> DatasetFacts:
    """Return the facts in `dataset/summary.json`."""
    summary = read_json(folder / "summary.json")
    try:
        return DatasetFacts(
            name=name,
            n_train=int(summary["stories"]["train"]),
            n_test=int(summary["stories"]["test"]),
            test_stories=tuple(summary["test_stories"]),
            words=int(summary["words"]),
            sentences=int(summary["sentences"]),
            trs=int(summary["trs"]),
            subjects=summary["subjects"],
        )
    except (KeyError, TypeError) as error:
        raise BadInput(f"{folder / 'summary.json'} lacks {error}; run `qaemb dataset` again") from error


def read_questions(folder: Path) -> QuestionFacts | None:
    """Return how many questions there are, by set; None where the stage has not run."""
    if not (folder / "questions.parquet").exists():
        return None
    rejected = folder / "rejected.csv"
    sizes = read_table(folder / "sets.parquet", ["set"])["set"].value_counts(sort=False)
    return QuestionFacts(
        n_accepted=len(read_table(folder / "questions.parquet", ["question_id"])),
        n_rejected=len(_read_csv(rejected)) if rejected.exists() else 0,
        sets={str(name): int(size) for name, size in sizes.items()},
    )


def read_histogram(matrix: Path, limits: tuple[float, float] | None = None) -> Histogram:
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


def read_scores(metrics: Mapping[str, Path]) -> pd.DataFrame:
    """Return SCORE_COLUMNS, a row per subject and encoding model, from `reports/metrics/encode/MODEL.json`.

    Models whose file is absent are left out.
    """
    rows = [
        {"subject": subject, "model": model, **values}
        for model, path in metrics.items()
        if path.exists()
        for subject, values in read_json(path).items()
    ]
    table = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    return table.assign(**table[SCORE_NUMBERS].apply(pd.to_numeric, errors="coerce"))


def read_tasks(metrics: Mapping[str, tuple[str, str, Path]]) -> pd.DataFrame:
    """Return TASK_COLUMNS, a row per task and method, from task -> its kind, main metric and metrics file.

    Tasks whose file is absent are left out; so are methods without the metric.
    """
    rows = []
    for task, (kind, metric, path) in metrics.items():
        methods = read_json(path) if path.exists() else {}
        for method, values in methods.items():
            if isinstance(values, dict) and metric in values:
                ends = (values.get(f"{metric}_{end}") for end in ("low", "high"))
                rows.append((task, kind, method, metric, values[metric], *ends))
    return pd.DataFrame(rows, columns=TASK_COLUMNS)


def read_selection(space: str, folder: Path, chosen: Path) -> Selection | None:
    """Return a space's curve (mean and range over subjects) and chosen questions; None if the stage has not run."""
    path = folder / "curve.csv"
    if not path.exists():
        return None
    curve = _read_csv(path)
    lacking = {"method", "n_questions", "r"} - set(curve)
    if lacking:
        raise BadInput(f"{path} lacks the columns {sorted(lacking)}; run `qaemb select --space {space}` again")
    chosen_names = (read_set_file(chosen).names or ()) if chosen.exists() else ()
    groups = curve.groupby(["method", "n_questions"], sort=False)["r"]
    shown = pd.DataFrame({"r": groups.mean(), "r_low": groups.min(), "r_high": groups.max()}).reset_index()
    return Selection(space, shown.assign(space=space)[CURVE_COLUMNS], chosen_names)


def read_importance(folders: Mapping[str, Path], n: int) -> pd.DataFrame:
    """Return IMPORTANCE_COLUMNS, the `n` most important questions of each model and subject; the highest becomes 1."""
    tables = []
    for model, folder in folders.items():
        path = folder / "importance.csv"
        if not path.exists():
            continue
        for subject, table in _read_csv(path).groupby("subject", sort=False):
            top = table.nlargest(n, "importance").rename(columns={"feature": "name"})
            scale = top["importance"].max() or 1.0
            scaled = {"importance": top["importance"] / scale, "signed": top["signed"] / scale}
            tables.append(top.assign(model=model, subject=subject, **scaled)[IMPORTANCE_COLUMNS])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=IMPORTANCE_COLUMNS)


def read_interpretation(model: str, folder: Path) -> Interpretation | None:
    """Return what the stage `interpret` found over all voxels; None where it has not run for this model."""
    if not folder.exists():
        return None
    questions, sets, clusters = (_read_csv(folder / f"{name}.csv") for name in ("questions", "sets", "clusters"))
    lacking = {*QUESTION_COLUMNS, "scope"} - set(questions)
    if lacking:
        path = folder / "questions.csv"
        raise BadInput(f"{path} lacks the columns {sorted(lacking)}; run `qaemb interpret --name {model}` again")
    r = read_table(folder / "redundancy.parquet")
    places = r.columns.get_indexer(pd.Index(clusters["question"]))
    return Interpretation(
        model,
        questions.loc[questions["scope"] == ALL, QUESTION_COLUMNS].reset_index(drop=True),
        sets[sets["scope"] == ALL].reset_index(drop=True),
        clusters,
        r.to_numpy(np.float64)[np.ix_(places, places)],
    )


def read_maps(voxels: Path, scores: Path) -> tuple[CortexMap, ...]:
    """Return a map per subject from `dataset/voxels.parquet` and a model's `scores.parquet`; none if one is absent."""
    if not voxels.exists() or not scores.exists():
        return ()
    places, table = read_table(voxels), read_table(scores, ["subject", "voxel", "r"])
    maps = []
    for subject, part in table.groupby("subject", sort=False):
        where = places.loc[places["subject"] == subject, ["voxel", "hemi", "vertex"]]
        if len(where):
            r = np.full(int(max(part["voxel"].max(), where["voxel"].max())) + 1, np.nan)
            r[part["voxel"].to_numpy()] = part["r"].to_numpy()
            maps.append(CortexMap(str(subject), where.reset_index(drop=True), r))
    return tuple(maps)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read as a table: {error}; run `dvc repro` to make it again") from error
