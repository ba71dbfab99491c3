"""What the report shows, gathered: plain numbers and tables, no paths, nothing of how it will look.

The findings as tidy tables: what `dvc plots`, a spreadsheet and the page's own tables read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

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


@dataclass(frozen=True)
class QuestionFacts:
    """The bank: questions accepted and rejected, and the size of each set."""

    n_accepted: int
    n_rejected: int
    sets: Mapping[str, int]


@dataclass(frozen=True)
class Histogram:
    """Counts in bins between edges (one more than bins)."""

    counts: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class DriftFacts:
    """How a job's answers compare with their reference: what was found, in a sentence, and the page that shows it."""

    said: str
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
    """Question selection on one space: the score by size (CURVE_COLUMNS) and the questions that were chosen."""

    space: str
    curve: pd.DataFrame
    chosen: tuple[str, ...]


@dataclass(frozen=True)
class CortexMap:
    """One subject's score per voxel, and where its voxels stand (`voxel`, `hemi`, `vertex`)."""

    subject: str
    voxels: pd.DataFrame
    r: np.ndarray


@dataclass(frozen=True)
class Interpretation:
    """What one encoding model means: QUESTION_COLUMNS over all voxels, larger sets, and the questions' redundancy.

    `sets`: `subject`, `kind` ("cluster"/"space"), `name`, `n_features`, `unique_r` with interval and q. `clusters`
    (`question`, `cluster`, `size`, `representative`, `nearest`, `r`) and `r` (n, n) are in the dendrogram's order.
    """

    model: str
    questions: pd.DataFrame
    sets: pd.DataFrame
    clusters: pd.DataFrame
    r: np.ndarray


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


def score_table(findings: Findings) -> pd.DataFrame:
    """Return a row per subject and encoding model: the scores, and `vs_BASELINE`, `_low`, `_high` where compared."""
    table = findings.scores
    for baseline, pairs in findings.pairs.groupby("baseline", sort=False):
        name = f"vs_{baseline}"
        columns = {"difference": name, "low": f"{name}_low", "high": f"{name}_high"}
        wide = pairs.rename(columns=columns)[["subject", "model", *columns.values()]]
        table = table.merge(wide, on=["subject", "model"], how="left")
    return table


def curve_table(findings: Findings) -> pd.DataFrame:
    """Return CURVE_COLUMNS over all spaces that questions were selected on."""
    curves = [selection.curve for selection in findings.selections]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE_COLUMNS)
