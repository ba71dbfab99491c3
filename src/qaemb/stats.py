"""Plain statistics that several rooms use: scores of margins against yes/no labels, correlations, q values.

All are pure functions on arrays. A margin is a log odds of yes, in nats; a label is 1.0 (yes) or 0.0 (no).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Floats = NDArray[np.float64]
N_BINS = 10
_RESAMPLES_AT_ONCE = 50  # bounds the memory of the bootstrap


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of one question: the text's number, the margin, and 1.0 (yes) or 0.0 (no), all (n,)."""

    rows: NDArray[np.int64]
    margin: Floats
    truth: Floats


def probability(margin: Floats) -> Floats:
    """Return P(yes) = 1 / (1 + exp(-margin)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * margin))


def auc(margin: Floats, truth: Floats) -> float:
    """Return the chance that a yes has a larger margin than a no, ties counting half; NaN with one class."""
    return float(resampled_auc(margin, truth, np.ones((1, len(margin))))[0])


def resampled_auc(margin: Floats, truth: Floats, weights: Floats) -> Floats:
    """Return the AUC (resamples,) under each row of `weights` (resamples, n), how often a cell is counted.

    Mann-Whitney's U over the number of (yes, no) pairs, from one sort. NaN where a resample has one class.
    """
    order = np.argsort(margin, kind="stable")
    values, yes = margin[order], truth[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])  # cells with one margin are one step
    sorted_weights = weights[:, order]
    n_yes = np.add.reduceat(sorted_weights * yes, starts, axis=1)
    n_no = np.add.reduceat(sorted_weights * (1.0 - yes), starts, axis=1)
    below = np.cumsum(n_no, axis=1) - n_no
    wins = (n_yes * (below + 0.5 * n_no)).sum(1)
    pairs = n_yes.sum(1) * n_no.sum(1)
    return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def balanced_accuracy(margin: Floats, truth: Floats) -> float:
    """Return the mean of the two classes' accuracies when a margin above 0 means yes; NaN with one class."""
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(truth, margin > 0)) if np.ptp(truth) else float("nan")


def brier(margin: Floats, truth: Floats) -> float:
    """Return the mean of (P(yes) - truth)^2 (Brier 1950): 0 is perfect, always saying 0.5 gives 0.25."""
    return float(((probability(margin) - truth) ** 2).mean())


@dataclass(frozen=True, eq=False)
class _Reliability:
    """The bins that hold cells, (bins,) each: number of the bin, cells, mean P(yes), share of yes among the labels."""

    bin: NDArray[np.int64]
    n: NDArray[np.int64]
    mean_p: Floats
    share_yes: Floats

    def ece(self) -> float:
        """Return the expected calibration error: mean of |mean P(yes) - share of yes| over bins, weighted by cells."""
        return float((self.n * np.abs(self.mean_p - self.share_yes)).sum() / self.n.sum())


def reliability(margin: Floats, truth: Floats, n_bins: int = N_BINS) -> _Reliability:
    """Return the reliability curve over `n_bins` bins of equal width.

    Bin b holds P(yes) in (b/n, (b+1)/n]; bin 0 holds 0, too.
    """
    p = probability(margin)
    number = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], p)
    n = np.bincount(number, minlength=n_bins)
    full = np.flatnonzero(n)
    sums = [np.bincount(number, values, n_bins)[full] / n[full] for values in (p, truth)]
    return _Reliability(full, n[full], sums[0], sums[1])


def bootstrap_mean_auc(questions: Sequence[Cells], n_texts: int, n_resamples: int, seed: int) -> Floats:
    """Return the mean AUC over questions (resamples,) when texts are drawn with replacement.

    Texts are drawn, not cells: the cells of a text are not independent. A question that has one class in a resample is
    left out of that mean; NaN where all are.
    """
    rng = np.random.default_rng(seed)
    means = np.full(n_resamples, np.nan)
    for start in tqdm(range(0, n_resamples, _RESAMPLES_AT_ONCE), desc="bootstrap", leave=False, delay=2):
        stop = min(start + _RESAMPLES_AT_ONCE, n_resamples)
        counts = np.empty((stop - start, n_texts))
        for resample in counts:
            resample[:] = np.bincount(rng.integers(0, n_texts, n_texts), minlength=n_texts)
        values = np.array([resampled_auc(q.margin, q.truth, counts[:, q.rows]) for q in questions])
        has_both = np.isfinite(values)
        total = np.where(has_both, values, 0.0).sum(0)
        np.divide(total, has_both.sum(0), out=means[start:stop], where=has_both.any(0))
    return means


def interval(values: Floats) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of the finite values; NaN, NaN without any."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def pearson(first: Floats, second: Floats) -> float:
    """Return Pearson's r; NaN with fewer than two cells or where one side is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def spearman(first: Floats, second: Floats) -> float:
    """Return Spearman's rho: the correlation of the ranks, ties sharing their mean rank; NaN as for `pearson`."""
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else float("nan")


def kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return Cohen's kappa of two yes/no vectors: agreement beyond chance; NaN where both always say the same word."""
    from sklearn.metrics import cohen_kappa_score

    one_word = np.unique([first, second]).size < 2
    return float("nan") if one_word else float(cohen_kappa_score(first, second))


def q_values(p: Floats) -> Floats:
    """Return Benjamini-Hochberg's q of each p, of any shape: the false discovery rate at which it is called.

    NaN stays NaN, and counts as no test.
    """
    from scipy.stats import false_discovery_control

    is_test = np.isfinite(p)
    q = np.full(p.shape, np.nan)
    if is_test.any():
        q[is_test] = false_discovery_control(p[is_test])
    return q
