"""Which cells to ask a teacher next: choosers by name, random ones as the control among them.

A chooser sees the texts' vectors, which cells are asked already, and what the present student says of every cell; it
never sees an answer. Cells that were chosen by their margin say yes more often than the others do at the same margin,
so that a student calibrated on them says yes too often. `choose_cells` therefore spends a part of every budget on a
random sample of all cells and says which they are, and `calibration` lets these have the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qaemb.distill.curves import fit_curves
from qaemb.errors import BadInput, BadParameter, require

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

RANDOM_SHARE = 0.25  # of a budget; costs next to no AUC on train stories of lebel_pcs, and keeps the student calibrated

_TOP = 0.2  # share of a question's texts that `likely_yes` draws from
_MOST, _ANSWERS = 0.6, 4000  # the share that `combined` draws from: see there
_N_CLUSTERS, _CLUSTER_SAMPLE, _KMEANS_STEPS = 100, 2000, 5  # of k-means: clusters, texts that it runs on, steps


@dataclass(frozen=True, eq=False)
class State:
    """What is known before the next choice, for T texts and Q questions.

    `vectors` (T, D); `asked` bool (T, Q): cells that the teacher answered; `margin` (T, Q): what the present student
    says, before there is one the similarity of text and question; `at_random` (T, Q): the random sample so far (None:
    there is none). `value` (Q,): how much more one question's answers are worth than another's, used by
    `question_value` alone; None: all the same.
    """

    vectors: Floats
    asked: Mask
    margin: Floats
    at_random: Mask | None = None
    value: Floats | None = None

    def __post_init__(self) -> None:
        if self.asked.shape != self.margin.shape or len(self.vectors) != len(self.asked):
            raise BadInput(
                f"vectors {self.vectors.shape}, asked {self.asked.shape} and margin {self.margin.shape} do not belong "
                "together; give (T, D), (T, Q) and (T, Q)"
            )
        if self.at_random is not None and (self.at_random & ~self.asked).any():
            raise BadInput("a cell is in the random sample but was not asked; take it out of at_random")
        if self.value is not None and len(self.value) != self.asked.shape[1]:
            raise BadInput(f"value is {self.value.shape}, expected one number for each of {self.asked.shape[1]}")


@dataclass(frozen=True, eq=False)
class _Chosen:
    """`cells` bool (T, Q): the new cells to ask; `at_random` (T, Q): cells, new or asked, that the sample gains."""

    cells: Mask
    at_random: Mask


Chooser = Callable[[State, int, np.random.Generator], Mask]


def choose_cells(chooser: str, state: State, budget: int, seed: int, random_share: float = RANDOM_SHARE) -> _Chosen:
    """Return exactly `budget` new cells, none of which was asked; the same for the same arguments.

    `random_share` of them joins the random sample, the rest is chosen by the chooser of that name in CHOOSERS; the
    random choosers sample all. BadParameter for an unknown chooser, a share outside [0, 1], or a budget below 1 or
    above the number of cells that are left.
    """
    left = int((~state.asked).sum())
    choose = require(CHOOSERS, chooser, "chooser")
    if not 0 <= random_share <= 1:
        raise BadParameter(f"random_share is {random_share}; give a share between 0 and 1")
    if not 1 <= budget <= left:
        raise BadParameter(f"the budget is {budget} cells; give 1 to {left}, the number of cells not asked yet")
    rng = np.random.default_rng(seed)
    if chooser == "whole_texts":
        cells = _whole_texts(state, budget, rng)
        return _Chosen(cells, cells)
    n_random = budget if chooser == "random" else round(random_share * budget)
    sample = _sample(state, n_random, rng)
    rest = replace(state, asked=state.asked | sample)
    return _Chosen((sample & ~state.asked) | choose(rest, budget - n_random, rng), sample)


def _quotas(
    budget: int, left: NDArray[np.integer], value: Floats | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return how many of `budget` cells each question gets (Q,): in proportion to `value`, never more than `left` (Q,).

    What does not divide goes to questions drawn at random. The sum is `budget`, which must not exceed that of `left`.
    """
    weight = np.ones(len(left)) if value is None else np.maximum(np.asarray(value, np.float64), 1e-9)
    quota = np.zeros(len(left), np.int64)
    while budget > quota.sum():
        open_ = np.flatnonzero(quota < left)
        rest = budget - quota.sum()
        share = np.floor(rest * weight[open_] / weight[open_].sum()).astype(np.int64)
        if not share.any():
            share[rng.permutation(len(open_))[:rest]] = 1
        quota[open_] = np.minimum(quota[open_] + share, left[open_])
    return quota


def _random(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return cells drawn at random, as many of each question."""
    return _take(rng.random(state.asked.shape, np.float32), state, budget, rng)


def _whole_texts(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return the cells of texts drawn at random, with all questions: the cheapest to ask where a text is read once."""
    return _take(np.repeat(rng.random((len(state.asked), 1)), state.asked.shape[1], axis=1), state, budget, rng)


def _uncertainty(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return the cells whose margin is nearest to 0, where the student says yes as often as no."""
    return _take(-np.abs(state.margin), state, budget, rng)


def _likely_yes(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return cells drawn at random among the fifth of each question's unasked texts with the highest margins.

    The very highest would be much alike, and say little about what is just below them.
    """
    return _take(_top(state, _TOP) + rng.random(state.asked.shape, np.float32), state, budget, rng)


def _diverse(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return cells spread evenly over clusters of the texts (k-means on the vectors), whatever their margins."""
    return _take(-_crowding(state, _clusters(state.vectors, rng), rng), state, budget, rng)


def _question_value(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return cells drawn at random, more of the questions with a higher `value`."""
    return _take(rng.random(state.asked.shape, np.float32), state, budget, rng, state.value)


def _combined(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return likely-yes cells, from a share of each question's texts that grows with the answers to a question.

    It is sqrt(n / 4000), at most 0.6, after n answers a question: with few, yes answers are what lacks, and the highest
    margins are the uncertain ones, too; with many, what lies below them is less and less known.
    """
    share = min(_MOST, float((state.asked.sum() / state.asked.shape[1] / _ANSWERS) ** 0.5))
    return _take(_top(state, share) + rng.random(state.asked.shape, np.float32), state, budget, rng)


def growth(before: Floats, now: Floats) -> Floats:
    """Return each question's growth (Q,) of AUC against the mean growth, 0.5 to 2 as it is noisy; 1 where not known."""
    grown = now - before
    mean = np.nanmean(grown) if np.isfinite(grown).any() else 0.0
    return np.clip(np.nan_to_num(grown / mean, nan=1.0), 0.5, 2.0) if mean > 0 else np.ones_like(grown)


def calibration(scores: Floats, labels: Floats, known: Mask, at_random: Mask) -> tuple[Floats, Floats]:
    """Return slope and intercept (Q,) that make margins of held-out scores (T, Q); a label above 0.5 counts as yes.

    A curve for each question is fitted to all known cells, then one for all questions to those drawn at random.
    """
    row, question = np.nonzero(known)
    score, yes = scores[row, question].astype(np.float64), labels[row, question] > 0.5
    curves = fit_curves(score, yes, question, scores.shape[1])
    slope = np.maximum(curves.slope, 0.1 * np.median(curves.slope))  # 0 would take a question's order away
    clean = at_random[row, question]
    if not clean.any():
        return slope, curves.intercept
    margin = curves.intercept[question] + slope[question] * score
    last = fit_curves(margin[clean], yes[clean], np.zeros(int(clean.sum()), np.int64), 1)
    return last.slope[0] * slope, last.intercept[0] + last.slope[0] * curves.intercept


def _sample(state: State, budget: int, rng: np.random.Generator) -> Mask:
    """Return what the random sample gains: cells drawn from all that it lacks, until `budget` of them are new.

    Cells that were asked for another reason are drawn, too, at no cost: without them the sample would lack just those
    that were likely to be a yes.
    """
    sample = np.zeros_like(state.asked)
    numbers = _quotas(budget, (~state.asked).sum(axis=0), None, rng)
    outside = np.ones_like(state.asked) if state.at_random is None else ~state.at_random
    for question in np.flatnonzero(numbers):
        drawn = rng.permutation(np.flatnonzero(outside[:, question]))
        n_new = np.cumsum(~state.asked[drawn, question])
        sample[drawn[: np.searchsorted(n_new, numbers[question]) + 1], question] = True
    return sample


def _take(priority: Floats, state: State, budget: int, rng: np.random.Generator, value: Floats | None = None) -> Mask:
    """Return the unasked cells of highest priority (T, Q), as many of each question as `_quotas` says."""
    cells = np.zeros_like(state.asked)
    numbers = _quotas(budget, (~state.asked).sum(axis=0), value, rng)
    for question in np.flatnonzero(numbers):
        free = np.flatnonzero(~state.asked[:, question])
        cells[free[_largest(priority[free, question], int(numbers[question]))], question] = True
    return cells


def _top(state: State, share: float) -> NDArray[np.float32]:
    """Return 1 for the share of each question's unasked texts with the highest margins, at least one, and else 0."""
    top = np.zeros(state.asked.shape, np.float32)
    for question in range(state.asked.shape[1]):
        free = np.flatnonzero(~state.asked[:, question])
        n = min(len(free), max(1, round(share * len(free))))
        top[free[_largest(state.margin[free, question], n)], question] = 1
    return top


def _largest(values: Floats, n: int) -> NDArray[np.int64]:
    """Return the places of the n largest values, in no order; far faster than sorting."""
    return np.argpartition(values, len(values) - n)[len(values) - n :] if n else np.zeros(0, np.int64)


def _clusters(vectors: Floats, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the number of each text's cluster (T,): k-means on a sample of the vectors."""
    from sklearn.cluster import KMeans

    sample = vectors[rng.permutation(len(vectors))[:_CLUSTER_SAMPLE]]
    n = min(_N_CLUSTERS, max(1, len(sample) // 10))
    means = KMeans(n, init="random", n_init=1, max_iter=_KMEANS_STEPS, random_state=int(rng.integers(2**31)))
    return means.fit(sample).predict(vectors).astype(np.int16)


def _crowding(state: State, cluster: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return for each unasked cell (T, Q) how many of its cluster stand before it: the asked, then others at random."""
    crowding = rng.random(state.asked.shape, np.float32)
    n = int(cluster.max()) + 1
    for question in range(state.asked.shape[1]):
        rows = rng.permutation(np.flatnonzero(~state.asked[:, question]))
        rows = rows[np.argsort(cluster[rows], kind="stable")]
        size = np.bincount(cluster[rows], minlength=n)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
        before = np.bincount(cluster[np.flatnonzero(state.asked[:, question])], minlength=n)
        crowding[rows, question] += place + before[cluster[rows]]
    return crowding


CHOOSERS: dict[str, Chooser] = {
    "random": _random,
    "whole_texts": _whole_texts,
    "uncertainty": _uncertainty,
    "likely_yes": _likely_yes,
    "diverse": _diverse,
    "question_value": _question_value,
    "combined": _combined,
}
