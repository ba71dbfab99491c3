"""Choosing a cascade's thresholds: as many of the teacher's calls saved as a target agreement allows, with confidence.

The loss of a cascade is the share of all cells that its student answers otherwise than the teacher; the teacher's own
cells agree by definition. Two things are chosen from a calibration sample, on different texts of it:

1. *The shape*, on a fifth of the texts: how likely the student is wrong at each margin of each question (curves.py).
   Bands of one level answer where that chance is at most the level, so that every cell that is answered at a level is
   safer, by this estimate, than every cell that is not: no other bands save more for the same loss. A level above 1/2
   is never used: there the student had better say the opposite.
2. *The level*, on the other texts: a fixed sequence of tests (Learn then Test: Angelopoulos et al., 2021) from the
   most careful level to the boldest. Each tests that the loss is below 1 - target; the last level before the first
   failure is taken. The levels come from the first fifth, so that they are fixed beforehand for these tests, and the
   chance that a level is taken whose loss is too high is at most 1 - confidence, however wrong the curves are.

Cells of one text are one cluster, dependent in any way. Texts are assumed to be a random sample of the texts that the
thresholds are for. Nothing is assumed about the distribution of margins.

The tests are upper confidence bounds on an error rate. With one cell a cluster it is the exact binomial
(Clopper-Pearson) bound. Else it is a test by betting (Waudby-Smith and Ramdas, 2024, Estimating means of bounded random
variables by betting): with e_i errors among n_i cells, N the largest n_i, and a risk r that the errors are suspected to
reach,

    K(r) = sum over f of w_f prod over i of (1 + f (r n_i - e_i) / ((1 - r) N)),    f in 1, 1/2, 1/4

is a product of factors that are never negative, each of mean at most 1 where the true risk is r or more. So by Markov's
inequality K(r) >= 1/alpha has a chance of at most alpha then, whatever the distribution and the number of clusters. As
K does not depend on the order, it holds for clusters drawn without replacement, too (Maclaurin's inequality).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from qaemb.answers.cascade import ALWAYS_ASK, Band, Evidence, Thresholds, outside
from qaemb.distill.curves import fit_curves
from qaemb.errors import BadInput, BadParameter

__all__ = ["CalibrationCells", "Evidence", "Thresholds", "calibrate", "texts_needed"]

_PART = 5  # one text in so many shapes the bands; more leave too few for the tests, whose slack costs more
_LEVELS = 200
_BOLDEST = 0.5
_BETS = np.array([1.0, 0.5, 0.25])  # of the largest bet that keeps the factors >= 0
_WEIGHTS = np.array([0.5, 0.25, 0.25])  # of the bets; cells of a text differ, so that the largest is mostly the best
_PRECISION = 1e-7


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
        return not _risk_is_below(errors, sizes, 1 - target, confidence)

    # From level to level a text's errors only grow, so that the first failure is found by bisection.
    n_passed = bisect_left(levels, True, key=fails)
    always = (np.full(len(names), ALWAYS_ASK[0]), np.full(len(names), ALWAYS_ASK[1]))
    bands = curves.limits(levels[n_passed - 1]) if n_passed else always
    bands_of: dict[str, Band] = {
        str(name): (float(low), float(high)) for name, low, high in zip(names, *bands, strict=True)
    }
    return Thresholds(bands_of, _evidence(cells, testing, bands, target, confidence))


def texts_needed(target: float, confidence: float, single: bool = False) -> int:
    """Return the number of texts below which no sample reaches the target; `single`: each text has one cell.

    BadParameter for a target or a confidence out of range.
    """
    for name, value in (("agreement", target), ("confidence", confidence)):
        if not 0.5 <= value < 1:
            raise BadParameter(f"the {name} of a cascade must be at least 0.5 and below 1, not {value}")
    n_testing = _clusters_needed(1 - target, confidence, single)
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
    order = np.random.default_rng(seed).permutation(n_texts)
    shapes = np.isin(text, order[: _n_shaping(n_texts)])
    student, yes = np.asarray(cells.student, np.float64), np.asarray(cells.teacher) > 0

    def part(rows: NDArray[np.bool_]) -> _Part:
        return _Part(student[rows], yes[rows], question[rows], np.unique(text[rows], return_inverse=True)[1])

    return part(shapes), part(~shapes)


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
    is_right = ~(sure & part.disagree)
    sizes = part.per_text(np.ones_like(part.yes))
    return Evidence(
        target=target,
        confidence=confidence,
        bound=1 - _upper_bound(part.per_text(~is_right), sizes, confidence) if sure.any() else 1.0,
        agreement=_share(is_right),
        own_agreement=_share(is_right[sure]),
        student_agreement=_share(~part.disagree & ~np.isnan(part.student)),
        yes_kept=_share(is_right[part.yes]),
        no_kept=_share(is_right[~part.yes]),
        share_saved=_share(sure),
        n_cells=len(cells.student),
        n_texts=len(cells.student) if cells.text is None else len(np.unique(cells.text)),
    )


def _share(cells: NDArray[np.bool_]) -> float:
    return float(cells.mean()) if len(cells) else np.nan


def _risk_is_below(errors: NDArray[np.int64], sizes: NDArray[np.int64], risk: float, confidence: float) -> bool:
    """Return whether the error rate is shown to be below `risk`.

    Where it is not below, the answer is wrong with a chance of at most 1 - `confidence`. `errors` and `sizes`
    (clusters,): wrong cells and all cells of each cluster.
    """
    if sizes.max() == 1:
        return bool(binom.cdf(errors.sum(), len(errors), risk) <= 1 - confidence)
    return _log_wealth(errors, sizes, risk) >= -math.log(1 - confidence)


def _upper_bound(errors: NDArray[np.int64], sizes: NDArray[np.int64], confidence: float) -> float:
    """Return the smallest rate that the error rate is shown to be below (1: none is); see `_risk_is_below`."""
    if sizes.max() == 1:
        n_wrong, n = int(errors.sum()), len(errors)
        return 1.0 if n_wrong == n else float(beta.ppf(confidence, n_wrong + 1, n - n_wrong))
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if _risk_is_below(errors, sizes, middle, confidence):
            high = middle
        else:
            low = middle
    return high


@cache
def _clusters_needed(risk: float, confidence: float, single: bool = False) -> int:
    """Return how many clusters of one size, without any error, show a rate below `risk`; fewer can't.

    `single`: clusters of one cell.
    """
    enough = 1
    while not _shown_without_errors(enough, risk, confidence, single):
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        if _shown_without_errors(middle, risk, confidence, single):
            enough = middle
        else:
            few = middle
    return enough


def _shown_without_errors(n: int, risk: float, confidence: float, single: bool) -> bool:
    if single:
        return n * math.log1p(-risk) <= math.log(1 - confidence)
    logs = n * np.log1p(_BETS * risk / (1 - risk)) + np.log(_WEIGHTS)
    return bool(np.logaddexp.reduce(logs) >= -math.log(1 - confidence))


def _log_wealth(errors: NDArray[np.int64], sizes: NDArray[np.int64], risk: float) -> float:
    """Log of K(risk) of the module's docstring."""
    gain = (risk * sizes - errors) / ((1 - risk) * sizes.max())
    with np.errstate(divide="ignore"):  # a cluster that is all wrong takes the whole of the largest bet
        logs = np.log(np.maximum(1 + _BETS[:, None] * gain, 0.0)).sum(axis=1)
    return float(np.logaddexp.reduce(logs + np.log(_WEIGHTS)))
