"""A cascade in front of GPT-4: thresholds from train stories, agreement and calls saved on test stories."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.student.margins import Margins
from qaemb.answers import Answers
from qaemb.distill.cells import split_groups
from qaemb.distill.thresholds import CalibrationCells, calibrate
from qaemb.identity import text_id

TARGETS = (0.9, 0.93, 0.95, 0.97)


def cascades(margins: Margins, student: str, held_out_share: float, seed: int) -> dict[str, Any]:
    """Return per target what the bound promises and what came out on the test stories.

    The calibration sample are the train stories that were held out of the student's choices; the student itself was
    fitted on them, too, so on these its answers look somewhat better than on new stories: read the test figures.
    """
    cells = margins.cells
    train = np.flatnonzero(~margins.is_test)
    _, held = split_groups(cells.rows(train).groups, held_out_share, seed)
    ids = np.array([text_id(question) for question in cells.questions])
    return {str(target): _one(margins, student, train[held], ids, target) for target in TARGETS}


def _one(margins: Margins, student: str, rows: np.ndarray, ids: np.ndarray, target: float) -> dict[str, float]:
    cells, margin = margins.cells, margins.by_student[student].astype(np.float32)
    teacher = np.where(cells.labels > 0.5, 1.0, -1.0)
    shape = len(rows), len(ids)
    sample = CalibrationCells(
        student=margin[rows].ravel().astype(np.float64),
        teacher=teacher[rows].ravel(),
        question=np.broadcast_to(ids, shape).ravel(),
        # Neighbouring TRs share words: a story's stretch of ten TRs counts as one text.
        text=np.repeat([f"{cells.groups[row]}:{number // 10}" for number, row in enumerate(rows)], shape[1]),
    )
    found = calibrate(sample, target)
    test = np.flatnonzero(margins.is_test)
    answers = Answers(margin[test], np.ones_like(margin[test]))
    sure = found.sure(answers, ids.tolist())
    agrees = (margin[test] > 0) == (teacher[test] > 0)
    return {
        "promised_agreement": target,
        "test_agreement": round(float(np.where(sure, agrees, True).mean()), 4),
        "test_agreement_of_the_students_own": round(float(agrees[sure].mean()), 4) if sure.any() else None,
        "test_calls_saved": round(float(sure.mean()), 4),
        "test_yes_found_by_the_student_of_its_own": round(_recall(margin[test], teacher[test], sure), 4),
    }


def _recall(margin: np.ndarray, teacher: np.ndarray, sure: np.ndarray) -> float:
    """Return the share of the teacher's yes, among the cells that the student answers, that it answers with yes."""
    yes = sure & (teacher > 0)
    return float((margin > 0)[yes].mean()) if yes.any() else float("nan")
