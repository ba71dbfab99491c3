"""A cascade in front of GPT-4: thresholds from train stories, agreement and calls saved on test stories.

The student is one on MiniLM that learnt from the train stories less the held-out ones; on these the thresholds are
chosen. The bound is one on texts drawn from the calibrated stories, and stories differ: so each held-out story is also
left out in turn, and the target to ask for is the smallest at which every left-out story reaches the agreement wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.student.margins import Margins
from qaemb.answers import Answers
from qaemb.answers.cascade import Thresholds
from qaemb.answers.students.reading import text_vectors
from qaemb.distill.cascade import CalibrationCells, calibrate
from qaemb.distill.cells import split_groups
from qaemb.distill.heads import HeadSettings, HiddenSettings, fit_hidden
from qaemb.identity import text_id
from qaemb.models.encoder import Encoder
from qaemb.models.vectors import vectors_of
from qaemb.settings import Settings
from qaemb.workspace import Workspace

WANTED, TARGETS = 0.95, (0.95, 0.96, 0.97, 0.98)
_STRETCH = 10  # TRs that count as one text: neighbouring segments share words


def cascades(settings: Settings, workspace: Workspace, margins: Margins, units: int) -> dict[str, Any]:
    """Return per target what came out on left-out and on test stories, and the target that was chosen for .95."""
    student = settings.distill.students["minilm"]
    cells = margins.cells
    train, test = np.flatnonzero(~margins.is_test), np.flatnonzero(margins.is_test)
    fit, held = (train[rows] for rows in split_groups(cells.rows(train).groups, student.held_out_share, student.seed))
    encoder, store = Encoder(workspace.model("minilm")), workspace.root / settings.answers.store / "vectors"
    vectors = text_vectors(cells.texts, True, lambda texts: vectors_of(encoder, texts, store), encoder.width)
    heads = fit_hidden(vectors, cells, fit, held, HeadSettings(), HiddenSettings(units)).heads
    case = _Case(margins, heads.margins(vectors))
    found = {str(target): case.report(held, test, target) for target in tqdm(TARGETS, desc="cascades")}
    enough = [target for target, own in found.items() if own["lowest_left_out_story"] >= WANTED]
    return {"wanted": WANTED, "chosen_target": enough[0] if enough else None, "targets": found}


class _Case:
    """The student's margins (rows, questions) and the teacher's answers."""

    def __init__(self, margins: Margins, student: np.ndarray) -> None:
        self.cells, self.margin = margins.cells, student
        self.yes = self.cells.labels > 0.5
        self.groups = np.array(self.cells.groups)
        self.ids = np.array([text_id(question) for question in self.cells.questions])

    def report(self, held: np.ndarray, test: np.ndarray, target: float) -> dict[str, Any]:
        stories = np.unique(self.groups[held])
        left_out = []
        for story in stories:
            own = self.groups[held] == story
            left_out.append(self.outcome(self.thresholds(held[~own], target), held[own])["agreement"])
        return {
            "lowest_left_out_story": round(min(left_out), 4),
            "mean_left_out_story": round(float(np.mean(left_out)), 4),
            "test": self.outcome(self.thresholds(held, target), test),
        }

    def thresholds(self, rows: np.ndarray, target: float) -> Thresholds:
        shape = len(rows), len(self.ids)
        stretch = [f"{self.groups[row]}:{number // _STRETCH}" for number, row in enumerate(rows)]
        sample = CalibrationCells(
            student=self.margin[rows].ravel().astype(np.float64),
            teacher=np.where(self.yes[rows], 1.0, -1.0).ravel(),
            question=np.broadcast_to(self.ids, shape).ravel(),
            text=np.repeat(stretch, shape[1]),
        )
        return calibrate(sample, target)

    def outcome(self, thresholds: Thresholds, rows: np.ndarray) -> dict[str, float]:
        """Return the agreement over all cells, that of the student's own, the calls saved, and yes that it kept."""
        margin = self.margin[rows].astype(np.float32)
        sure = thresholds.sure(Answers(margin, np.ones_like(margin)), self.ids.tolist())
        agrees = (margin > 0) == self.yes[rows]
        kept = np.where(sure, margin > 0, self.yes[rows])[self.yes[rows]]
        return {
            "agreement": round(float(np.where(sure, agrees, True).mean()), 4),
            "agreement_of_the_students_own": round(float(agrees[sure].mean()), 4) if sure.any() else float("nan"),
            "calls_saved": round(float(sure.mean()), 4),
            "yes_kept": round(float(kept.mean()), 4),
        }
