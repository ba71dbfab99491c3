"""Upper confidence bounds on an error rate whose cells come in clusters (the questions of one text).

Clusters are a random sample; cells of one cluster may depend on each other in any way.

One cell a cluster: the exact binomial (Clopper-Pearson) bound. Else a test by betting (Waudby-Smith and Ramdas, 2024,
Estimating means of bounded random variables by betting): with e_i errors among n_i cells, N the largest n_i, and a risk
r that the errors are suspected to reach,

    K(r) = sum over f of w_f prod over i of (1 + f (r n_i - e_i) / ((1 - r) N)),    f in 1, 1/2, 1/4

is a product of factors that are never negative, each of mean at most 1 where the true risk is r or more. So by Markov's
inequality K(r) >= 1/alpha has a chance of at most alpha then, whatever the distribution and the number of clusters. As
K does not depend on the order, it holds for clusters drawn without replacement, too (Maclaurin's inequality).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
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
