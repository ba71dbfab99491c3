"""What the report shows, as plain numbers and tables that say nothing about the page's look.

Parts that come from one stage have a `read`, which returns None if the stage has not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.encoding.interpretation import ALL
from qaemb.errors import BadInput
from qaemb.files import read_json, read_table
from qaemb.questions.sets import read_set_file

SCORE_NUMBERS = [
    "mean_r",
    "r_low",
    "r_high",
    "mean_ceiling",
    "share_of_ceiling",
    "mean_cc_norm",
    "n_significant",
    "n_voxels",
    "n_nan",
    "n_reliable",
]
SCORE_COLUMNS = ["subject", "model", *SCORE_NUMBERS]
PAIR_COLUMNS = ["subject", "model", "baseline", "difference", "low", "high"]
CURVE_COLUMNS = ["space", "method", "n_questions", "r", "r_low", "r_high"]
IMPORTANCE_COLUMNS = ["model", "subject", "name", "importance", "signed"]
QUESTION_COLUMNS = [
    "subject",
    "question",
    "weight",
    "importance",
    "importance_low",
    "importance_high",
    "same_sign",
    "unique_r",
    "unique_r_low",
    "unique_r_high",
    "unique_r_q",
]
TASK_COLUMNS = ["task", "kind", "method", "metric", "value", "low", "high"]
GRADE_COLUMNS = ["name", "property", "n", "n_yes", "auc", "balanced_accuracy"]


@dataclass(frozen=True)
class DatasetFacts:
    """The data set: counts, test stories, and per subject `voxels`, `stories`, `missing`, `nan_voxels`, `repeats`."""

    name: str
    n_train: int
    n_test: int
    test_stories: tuple[str, ...]
    words: int
    sentences: int
    trs: int
    subjects: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, name: str, folder: Path) -> DatasetFacts:
        """Return the facts in `dataset/summary.json`."""
        summary = read_json(folder / "summary.json")
        try:
            return cls(
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


@dataclass(frozen=True)
class QuestionFacts:
    """The bank: questions accepted and rejected, and the size of each set."""

    n_accepted: int
    n_rejected: int
    sets: Mapping[str, int]

    @classmethod
    def read(cls, folder: Path) -> QuestionFacts | None:
        """Return how many questions there are, by set; None if the stage `questions` has not run."""
        if not (folder / "questions.parquet").exists():
            return None
        rejected = folder / "rejected.csv"
        sizes = read_table(folder / "sets.parquet", ["set"])["set"].value_counts(sort=False)
        return cls(
            n_accepted=len(read_table(folder / "questions.parquet", ["question_id"])),
            n_rejected=len(_read_csv(rejected)) if rejected.exists() else 0,
            sets={str(name): int(size) for name, size in sizes.items()},
        )


@dataclass(frozen=True)
class Histogram:
    """Counts in bins between edges (one more than bins)."""

    counts: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class DriftFacts:
    """How a job's answers compare with their reference: the result in a sentence, and the page that shows it."""

    sentence: str
    beyond_limits: bool
    page: str | None  # relative to the report


@dataclass(frozen=True)
class JobFacts:
    """One answer matrix: what answered, how the answers look, what validation and gold say of them."""

    job: str
    answerer: str
    engine: str
    model: str
    segmentation: str
    question_set: str
    n_segments: int
    n_questions: int
    margins: Histogram
    masses: Histogram
    summary: pd.DataFrame  # validation's, one row per question
    key: str | None = None
    model_digest: str | None = None
    prompt: str | None = None
    n_checks: int = 0
    grades: pd.DataFrame | None = None  # GRADE_COLUMNS; None without gold
    data_docs: str | None = None  # relative to the report
    drift: DriftFacts | None = None  # None: no reference
    student: str | None = None  # the trained student of engine `student`; None: zero-shot
    approximates: str | None = None  # of a cascade: whom, how well, and how many calls it saved

    @property
    def n_cells(self) -> int:
        """Segments times questions."""
        return self.n_segments * self.n_questions

    @property
    def mean_auc(self) -> float | None:
        """Mean AUC over the graded questions, None where nothing was graded."""
        if self.grades is None or not self.n_graded:
            return None
        return float(self.grades["auc"].mean())

    @property
    def n_graded(self) -> int:
        """How many questions have an AUC: those with gold answers of both kinds."""
        return 0 if self.grades is None else int(self.grades["auc"].count())


@dataclass(frozen=True)
class Selection:
    """Question selection on one space: the score by size (CURVE_COLUMNS) and the selected questions."""

    space: str
    curve: pd.DataFrame
    question_names: tuple[str, ...]

    @classmethod
    def read(cls, space: str, folder: Path, set_file: Path) -> Selection | None:
        """Return a space's curve (mean and range over subjects) and its questions; None if `select` has not run."""
        path = folder / "curve.csv"
        if not path.exists():
            return None
        curve = _read_csv(path)
        missing = {"method", "n_questions", "r"} - set(curve)
        if missing:
            raise BadInput(f"{path} lacks the columns {sorted(missing)}; run `qaemb select --space {space}` again")
        names = (read_set_file(set_file).names or ()) if set_file.exists() else ()
        groups = curve.groupby(["method", "n_questions"], sort=False)["r"]
        spread = pd.DataFrame({"r": groups.mean(), "r_low": groups.min(), "r_high": groups.max()}).reset_index()
        return cls(space, spread.assign(space=space)[CURVE_COLUMNS], names)


@dataclass(frozen=True)
class CortexMap:
    """One subject's score per voxel, and where its voxels stand (`voxel`, `hemi`, `vertex`)."""

    subject: str
    voxels: pd.DataFrame
    r: np.ndarray

    @classmethod
    def read(cls, voxels: Path, scores: Path) -> tuple[CortexMap, ...]:
        """Return a map per subject from `dataset/voxels.parquet` and a model's `scores.parquet`; none if one lacks."""
        if not voxels.exists() or not scores.exists():
            return ()
        places, table = read_table(voxels), read_table(scores, ["subject", "voxel", "r"])
        maps = []
        for subject, part in table.groupby("subject", sort=False):
            where = places.loc[places["subject"] == subject, ["voxel", "hemi", "vertex"]]
            if len(where):
                r = np.full(int(max(part["voxel"].max(), where["voxel"].max())) + 1, np.nan)
                r[part["voxel"].to_numpy()] = part["r"].to_numpy()
                maps.append(cls(str(subject), where.reset_index(drop=True), r))
        return tuple(maps)


@dataclass(frozen=True)
class Interpretation:
    """The interpretation of one encoding model: QUESTION_COLUMNS over all voxels, larger sets, questions' redundancy.

    `sets`: `subject`, `kind` ("cluster"/"space"), `name`, `n_features`, `unique_r` with interval and q. `clusters`
    (`question`, `cluster`, `size`, `representative`, `nearest`, `r`) and `r` (n, n) are in the dendrogram's order.
    """

    model: str
    questions: pd.DataFrame
    sets: pd.DataFrame
    clusters: pd.DataFrame
    r: np.ndarray

    @classmethod
    def read(cls, model: str, folder: Path) -> Interpretation | None:
        """Return the results of the stage `interpret` over all voxels; None if it has not run for this model."""
        if not folder.exists():
            return None
        questions, sets, clusters = (_read_csv(folder / f"{name}.csv") for name in ("questions", "sets", "clusters"))
        missing = {*QUESTION_COLUMNS, "scope"} - set(questions)
        if missing:
            path = folder / "questions.csv"
            raise BadInput(f"{path} lacks the columns {sorted(missing)}; run `qaemb interpret --name {model}` again")
        r = read_table(folder / "redundancy.parquet")
        places = r.columns.get_indexer(pd.Index(clusters["question"]))
        return cls(
            model,
            questions.loc[questions["scope"] == ALL, QUESTION_COLUMNS].reset_index(drop=True),
            sets[sets["scope"] == ALL].reset_index(drop=True),
            clusters,
            r.to_numpy(np.float64)[np.ix_(places, places)],
        )


@dataclass(frozen=True)
class Findings:
    """All that the report shows. Every part but the data set may be empty."""

    dataset: DatasetFacts
    questions: QuestionFacts | None = None
    jobs: tuple[JobFacts, ...] = ()
    scores: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=SCORE_COLUMNS))
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PAIR_COLUMNS))
    protocol: str = "strict"
    kinds: Mapping[str, str] = field(default_factory=dict)  # encoding model of one space -> that space's kind
    selections: tuple[Selection, ...] = ()
    importance: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=IMPORTANCE_COLUMNS))
    interpretations: tuple[Interpretation, ...] = ()
    n_top_questions: int = 15  # in bars and tables of an interpretation
    tasks: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TASK_COLUMNS))
    map_model: str = ""
    maps: tuple[CortexMap, ...] = ()

    def of_kind(self, kind: str) -> list[str]:
        """Return the encoding models that are one space of this kind and have scores."""
        scored = set(self.scores["model"])
        return [model for model, of in self.kinds.items() if of == kind and model in scored]

    def mean_r(self, model: str) -> float | None:
        """Return a model's mean r over subjects, None where it has no score."""
        values = self.scores.loc[self.scores["model"] == model, "mean_r"].dropna()
        return float(values.mean()) if len(values) else None

    def score_table(self) -> pd.DataFrame:
        """Return a row per subject and encoding model: the scores; `vs_BASELINE`, `_low`, `_high` where compared."""
        table = self.scores
        for baseline, pairs in self.pairs.groupby("baseline", sort=False):
            name = f"vs_{baseline}"
            columns = {"difference": name, "low": f"{name}_low", "high": f"{name}_high"}
            wide = pairs.rename(columns=columns)[["subject", "model", *columns.values()]]
            table = table.merge(wide, on=["subject", "model"], how="left")
        return table

    def curve_table(self) -> pd.DataFrame:
        """Return CURVE_COLUMNS over all spaces that questions were selected on."""
        curves = [selection.curve for selection in self.selections]
        return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE_COLUMNS)


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


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read as a table: {error}; run `dvc repro` to make it again") from error
