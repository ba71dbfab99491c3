"""What training changed: a trained student beside the zero-shot form of it, question by question, against gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from qaemb.report.data import JobFacts

CHANGE_COLUMNS = ["question", "zero_shot", "trained", "change"]


@dataclass(frozen=True)
class TaughtChange:
    """Two jobs on the same sentences, and the AUC of each question in both: CHANGE_COLUMNS, largest change first."""

    trained: str
    zero_shot: str
    table: pd.DataFrame

    @property
    def said(self) -> str:
        """The change in a sentence."""
        means, change = self.table.mean(numeric_only=True), self.table["change"]
        better, worse = int((change > 0.005).sum()), int((change < -0.005).sum())
        return (
            f"Training moved the mean AUC against the gold answers from {means['zero_shot']:.3f} to "
            f"{means['trained']:.3f} over {len(self.table)} questions: {better} are answered better, {worse} worse."
        )


def taught_changes(jobs: Sequence[JobFacts]) -> list[TaughtChange]:
    """Return a change for each graded job of a trained student that has a zero-shot job on the same segmentation."""
    graded = [job for job in jobs if job.engine == "student" and job.grades is not None and job.n_graded]
    found = []
    for trained in (job for job in graded if job.student):
        for plain in (job for job in graded if not job.student and job.segmentation == trained.segmentation):
            assert trained.grades is not None
            assert plain.grades is not None
            both = plain.grades[["name", "auc"]].merge(trained.grades[["name", "auc"]], on="name").dropna()
            both.columns = pd.Index(CHANGE_COLUMNS[:3])
            both["change"] = both["trained"] - both["zero_shot"]
            if len(both):
                table = both.sort_values("change", ascending=False, ignore_index=True)
                found.append(TaughtChange(trained.job, plain.job, table))
    return found
