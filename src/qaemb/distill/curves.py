"""How likely a teacher says yes at a student's margin: one logistic curve a question, drawn to a common one.

    P(teacher yes | margin m, question q) = 1 / (1 + exp(-(a_q + b_q m))),    b_q >= 0

(a, b) of the common curve are fitted to all cells. Those of a question are the mode of its likelihood times a normal
prior around the common ones, so that a question departs from the common curve only as far as its own cells say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

_START = np.array([0.0, 1.0])  # centre of the common curve's prior, margins in units of their root mean square
_WIDE = np.array([5.0, 5.0])  # its sd: keeps the curve finite where the classes are separable
_OWN_INTERCEPT, _OWN_SLOPE = 1.0, 0.5  # sd of the questions: nats; share of the common slope
_LEAST_SD = 0.1  # of a slope, where the common one is near 0


@dataclass(frozen=True)
class _Curves:
    """Intercepts (nats) and slopes of the questions, (questions,) each."""

    intercept: NDArray[np.float64]
    slope: NDArray[np.float64]

    def wrong(self, margin: NDArray[np.float64], question: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chance (cells,) that the teacher answers another way than the student: yes at a margin <= 0."""
        log_odds = self.intercept[question] + self.slope[question] * margin
        return expit(np.where(margin > 0, -log_odds, log_odds))

    def limits(self, chance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (low, high) of the questions: outside them the student is wrong with at most this chance.

        low <= 0 <= high; infinite where no margin of that sign is that safe. Rounded outward to six digits.
        """
        limit = np.log(chance) - np.log1p(-chance)
        low = _crossing(self.intercept, self.slope, limit)
        high = -_crossing(-self.intercept, self.slope, limit)
        return low, high


def fit_curves(margin: NDArray[np.float64], yes: NDArray[np.bool_], question: NDArray[np.int64], n: int) -> _Curves:
    """Return the curves of questions 0..n-1 from cells: the student's margin, whether the teacher says yes, whose cell.

    A question without cells has the common curve.
    """
    scale = float(np.sqrt((margin**2).sum() / max(len(margin), 1))) or 1.0
    units = margin / scale
    common = _mode(units, yes, _START, _WIDE)
    spread = np.array([_OWN_INTERCEPT, max(_OWN_SLOPE * common[1], _LEAST_SD)])
    of_questions = np.tile(common, (n, 1))
    for number in range(n):
        is_of_it = question == number
        if is_of_it.any():
            of_questions[number] = _mode(units[is_of_it], yes[is_of_it], common, spread)
    return _Curves(of_questions[:, 0], of_questions[:, 1] / scale)


def _mode(
    margin: NDArray[np.float64], yes: NDArray[np.bool_], centre: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (a, b), b >= 0, of the highest likelihood times a normal prior."""
    side = np.where(yes, 1.0, -1.0)

    def loss(curve: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = side * (curve[0] + curve[1] * margin)
        off = (curve - centre) / sd
        slack = -side * expit(-score)
        value = np.logaddexp(0.0, -score).sum() + 0.5 * (off**2).sum()
        return float(value), np.array([slack.sum(), (slack * margin).sum()]) + off / sd

    return minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=[(None, None), (0.0, None)]).x


def _crossing(intercept: NDArray[np.float64], slope: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return the largest margin <= 0 at which intercept + slope * margin <= limit, -inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.minimum((limit - intercept) / slope, 0.0)
    flat = np.where(intercept <= limit, 0.0, -np.inf)
    return _outward(np.where(slope > 0, crossing, flat))


def _outward(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values <= 0 rounded away from 0 to six digits, so that files stay short and the bands no narrower."""
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = 10.0 ** (np.floor(np.log10(-values)) - 5)
        rounded = np.floor(values / unit) * unit
    exact = np.array([float(f"{value:.6g}") for value in rounded])  # a product of floats may end in ...0002
    return np.where(np.isfinite(exact), exact, values)
