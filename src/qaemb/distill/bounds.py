"""Upper confidence bounds on an error rate whose cells come in clusters (the questions of one text).

Clusters are a random sample; cells of one cluster may depend on each other in any way.

One cell a cluster: the exact binomial (Clopper-Pearson) bound. Else a test by betting (Waudby-Smith and Ramdas, 2024,
Estimating means of bounded random variables by betting): with e_i errors among n_i cells, N the largest n_i, and a risk
r that the errors are suspected to reach,

    K(r) = sum over f of w_f prod over i of (1 + f (r n_i - e_i) / ((1 - r) N)),    f in 1, 1/2, 1/4

is a product of factors that are never negative, each of mean at most 1 where the true risk is r or more. So by Markov's
inequality K(r) >= 1/alpha has a chance of at most alpha then, whatever the distribution and the number of clusters. As
K does not depend on the order, it holds for clusters drawn without replacement, too (Maclaurin's inequality).

How likely a teacher says yes at a student's margin: one logistic curve a question, drawn to a common one.

    P(teacher yes | margin m, question q) = 1 / (1 + exp(-(a_q + b_q m))),    b_q >= 0

(a, b) of the common curve are fitted to all cells. A question's own are the mode of its likelihood times a normal prior
around the common ones, so that a question departs from the common curve only as far as its own cells say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import beta, binom

_BETS = np.array([1.0, 0.5, 0.25])  # of the largest bet that keeps the factors >= 0
_WEIGHTS = np.array([0.5, 0.25, 0.25])  # of the bets; cells of a text differ, so that the largest is mostly the best
_PRECISION = 1e-7


def risk_is_below(errors: NDArray[np.int64], sizes: NDArray[np.int64], risk: float, confidence: float) -> bool:
    """Return whether the error rate is shown to be below `risk`.

    Where it is not below, the answer is wrong with a chance of at most 1 - `confidence`. `errors` and `sizes`
    (clusters,): wrong cells and all cells of each cluster.
    """
    if sizes.max() == 1:
        return bool(binom.cdf(errors.sum(), len(errors), risk) <= 1 - confidence)
    return _log_wealth(errors, sizes, risk) >= -math.log(1 - confidence)


def upper_bound(errors: NDArray[np.int64], sizes: NDArray[np.int64], confidence: float) -> float:
    """Return the smallest rate that the error rate is shown to be below (1: none is); see `risk_is_below`."""
    if sizes.max() == 1:
        n_wrong, n = int(errors.sum()), len(errors)
        return 1.0 if n_wrong == n else float(beta.ppf(confidence, n_wrong + 1, n - n_wrong))
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if risk_is_below(errors, sizes, middle, confidence):
            high = middle
        else:
            low = middle
    return high


@cache
def clusters_needed(risk: float, confidence: float, single: bool = False) -> int:
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


_START = np.array([0.0, 1.0])  # centre of the common curve's prior, margins in units of their root mean square
_WIDE = np.array([5.0, 5.0])  # its sd: keeps the curve finite where the classes are separable
_OWN_INTERCEPT, _OWN_SLOPE = 1.0, 0.5  # sd of the questions: nats; share of the common slope
_LEAST_SD = 0.1  # of a slope, where the common one is near 0


@dataclass(frozen=True)
class Curves:
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


def fit_curves(margin: NDArray[np.float64], yes: NDArray[np.bool_], question: NDArray[np.int64], n: int) -> Curves:
    """Return the curves of questions 0..n-1 from cells: the student's margin, whether the teacher says yes, whose cell.

    A question without cells has the common curve.
    """
    scale = float(np.sqrt((margin**2).sum() / max(len(margin), 1))) or 1.0
    units = margin / scale
    common = _mode(units, yes, _START, _WIDE)
    spread = np.array([_OWN_INTERCEPT, max(_OWN_SLOPE * common[1], _LEAST_SD)])
    own = np.tile(common, (n, 1))
    for number in range(n):
        mine = question == number
        if mine.any():
            own[number] = _mode(units[mine], yes[mine], common, spread)
    return Curves(own[:, 0], own[:, 1] / scale)


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
