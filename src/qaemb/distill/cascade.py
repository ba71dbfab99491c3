"""Choosing a cascade's thresholds: as many of the teacher's calls saved as a target agreement allows, with confidence.

The loss of a cascade is the share of all cells that its student answers otherwise than the teacher; the teacher's own
cells agree by definition. Two things are chosen from a calibration sample, on different texts of it:

1. *The shape*, on a fifth of the texts: how likely the student is wrong at each margin of each question (`curves`).
   Bands of one level answer where that chance is at most the level, so that every cell that is answered at a level is
   safer, by this estimate, than every cell that is not: no other bands save more for the same loss. A level above 1/2
   is never used: there the student had better say the opposite.
2. *The level*, on the other texts: a fixed sequence of tests (Learn then Test: Angelopoulos et al., 2021) from the
   most careful level to the boldest. Each tests that the loss is below 1 - target (`bounds`); the last level before
   the first failure is taken. The levels come from the first fifth, so that they are fixed beforehand for these
   tests, and the chance that a level is taken whose loss is too high is at most 1 - confidence, however wrong the
   curves are.

Cells of one text are taken as one cluster, dependent in any way. Texts are assumed drawn at random from the texts that
the thresholds are for. Nothing is assumed about the distribution of margins.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.cascade import ALWAYS_ASK, Band, Evidence, Thresholds, outside
from qaemb.distill.bounds import clusters_needed, fit_curves, risk_is_below, upper_bound
from qaemb.errors import BadInput, BadParameter
from qaemb.folds import split_off

__all__ = ["CalibrationCells", "Evidence", "Thresholds", "calibrate", "texts_needed"]

_PART = 5  # one text in so many shapes the bands; more leave too few for the tests, whose slack costs more
_LEVELS = 200
_BOLDEST = 0.5


@dataclass(frozen=True)
class CalibrationCells:
    """Cells that both answered, all arrays (cells,): margins in nats, ids of questions, ids of texts.

    A student's margin is NaN where it abstained. `text` None: every cell is of a text of its own.
    """

    student: NDArray[np.floating]
    teacher: NDArray[np.floating]
    question: NDArray[np.str_]
    text: NDArray[np.str_] | None = None


@dataclass(frozen=True)
class _Part:
    """Cells of some texts; `question` and `text` are numbers, those of texts from 0 without gaps."""

    student: NDArray[np.float64]
    yes: NDArray[np.bool_]
    question: NDArray[np.int64]
    text: NDArray[np.int64]

    @property
    def disagree(self) -> NDArray[np.bool_]:
        """Where the student answers otherwise than the teacher."""
        return (self.student > 0) != self.yes

    def sure(self, bands: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return where the student answers, given (low, high) of the questions."""
        return outside(self.student, *(limits[self.question] for limits in bands))

    def per_text(self, cells: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many of these cells each text has."""
        return np.bincount(self.text, cells, minlength=self.text.max() + 1).astype(np.int64)


def calibrate(cells: CalibrationCells, target: float, confidence: float = 0.95, seed: int = 0) -> Thresholds:
    """Return the thresholds that save most calls while the agreement is at least `target`, with `confidence`.

    They may save nothing: then every band asks always. `seed` deals the texts into the two parts. BadParameter for a
    target or confidence out of range, BadInput for cells of unlike length or without a teacher's margin, and for fewer
    texts than the target takes, saying how many that is.
    """
    _check(cells)
    names, question = np.unique(cells.question, return_inverse=True)
    shaping, testing = _parts(cells, question, target, confidence, seed)
    known = ~np.isnan(shaping.student)
    curves = fit_curves(shaping.student[known], shaping.yes[known], shaping.question[known], len(names))
    levels = _levels(curves.wrong(shaping.student[known], shaping.question[known]))
    sizes = testing.per_text(np.ones_like(testing.yes))

    def fails(level: float) -> bool:
        errors = testing.per_text(testing.disagree & testing.sure(curves.limits(level)))
        return not risk_is_below(errors, sizes, 1 - target, confidence)

    # From level to level a text's errors only grow, so that the first failure is found by bisection.
    n_passed = bisect_left(levels, True, key=fails)
    always = (np.full(len(names), ALWAYS_ASK[0]), np.full(len(names), ALWAYS_ASK[1]))
    taken = curves.limits(levels[n_passed - 1]) if n_passed else always
    bands_of: dict[str, Band] = {
        str(name): (float(low), float(high)) for name, low, high in zip(names, *taken, strict=True)
    }
    return Thresholds(bands_of, _evidence(cells, testing, taken, target, confidence))


def texts_needed(target: float, confidence: float, single: bool = False) -> int:
    """Return the number of texts below which no sample reaches the target; `single`: each text has one cell.

    BadParameter for a target or a confidence out of range.
    """
    for name, value in (("agreement", target), ("confidence", confidence)):
        if not 0.5 <= value < 1:
            raise BadParameter(f"the {name} of a cascade must be at least 0.5 and below 1, not {value}")
    n_testing = clusters_needed(1 - target, confidence, single)
    n_texts = n_testing * _PART // (_PART - 1) - 1
    while n_texts - _n_shaping(n_texts) < n_testing:
        n_texts += 1
    return n_texts


def _n_shaping(n_texts: int) -> int:
    return max(1, n_texts // _PART)


def _check(cells: CalibrationCells) -> None:
    arrays = [cells.student, cells.teacher, cells.question] + ([] if cells.text is None else [cells.text])
    if len({len(array) for array in arrays}) > 1 or len(cells.student) == 0:
        raise BadInput(f"a calibration sample needs cells, as arrays of one length, not {[len(a) for a in arrays]}")
    if not np.isfinite(cells.teacher).all():
        raise BadInput("a cell of the calibration sample has no margin of the teacher; leave it out")


def _parts(
    cells: CalibrationCells, question: NDArray[np.int64], target: float, confidence: float, seed: int
) -> tuple[_Part, _Part]:
    """Deal whole texts into the part that shapes the bands and the part that tests their level."""
    text = np.arange(len(question)) if cells.text is None else np.unique(cells.text, return_inverse=True)[1]
    n_texts = int(text.max()) + 1
    needed = texts_needed(target, confidence, single=n_texts == len(question))
    if n_texts < needed:
        raise BadInput(
            f"{n_texts} texts can't show an agreement of {target:g} with confidence {confidence:g}, whatever they are "
            f"answered; it takes at least {needed} texts, and several times as many to save most of the calls"
        )
    chosen = np.isin(text, split_off(n_texts, _n_shaping(n_texts), seed)[0])
    student, yes = np.asarray(cells.student, np.float64), np.asarray(cells.teacher) > 0

    def part(own: NDArray[np.bool_]) -> _Part:
        return _Part(student[own], yes[own], question[own], np.unique(text[own], return_inverse=True)[1])

    return part(chosen), part(~chosen)


def _levels(wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return chances of being wrong, rising: each answers about as many cells more than the one before."""
    if len(wrong) == 0:
        return np.empty(0)
    levels = np.quantile(wrong, np.arange(1, _LEVELS + 1) / _LEVELS)
    return np.unique(np.clip(levels, 1e-12, _BOLDEST))


def _evidence(
    cells: CalibrationCells,
    part: _Part,
    bands: tuple[NDArray[np.float64], NDArray[np.float64]],
    target: float,
    confidence: float,
) -> Evidence:
    """Return what the testing part shows of these bands."""
    sure = part.sure(bands)
    kept = ~(sure & part.disagree)
    sizes = part.per_text(np.ones_like(part.yes))
    return Evidence(
        target=target,
        confidence=confidence,
        bound=1 - upper_bound(part.per_text(~kept), sizes, confidence) if sure.any() else 1.0,
        agreement=_share(kept),
        own_agreement=_share(kept[sure]),
        student_agreement=_share(~part.disagree & ~np.isnan(part.student)),
        yes_kept=_share(kept[part.yes]),
        no_kept=_share(kept[~part.yes]),
        share_saved=_share(sure),
        n_cells=len(cells.student),
        n_texts=len(cells.student) if cells.text is None else len(np.unique(cells.text)),
    )


def _share(cells: NDArray[np.bool_]) -> float:
    return float(cells.mean()) if len(cells) else np.nan
