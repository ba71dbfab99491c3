"""Ways to propose sets of questions, by name: all see one training set, and nothing else.

Stability selection (Meinshausen & Buehlmann, 2010) takes questions that the elastic net keeps on most random halves of
the train stories. At each penalty of a common path, a question's share is that of the halves on which it has a weight.
A set of n questions is what is stable (share at or above a threshold) at the largest penalty at which n questions are;
the paper of the 35 questions makes its sets so, at a few penalties, from five halves, threshold 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Integers
from qaemb.errors import BadParameter
from qaemb.selection.elastic_net import Products, penalty_path, sets_of_sizes, solve_elastic_net
from qaemb.selection.greedy import RidgeSums, greedy_order
from qaemb.settings import SelectSettings

CONTROLS = ("random", "most_frequent")


@dataclass(frozen=True)
class Training:
    """What a method may look at: sums over one set of train stories.

    `halves`: the elastic net's problem on random halves of these stories (for `stability`). `yes_share`, `yes_mean`
    (questions,): the share of rows with the answer yes, and the mean raw answer. `ridge`: sums over parts of these
    stories, per subject (for `greedy`), and `ridge_alphas` its penalties.
    """

    products: Products
    yes_share: Array
    yes_mean: Array
    halves: tuple[Products, ...] = ()
    ridge: tuple[RidgeSums, ...] = ()
    ridge_alphas: Array | None = None

    @property
    def n_questions(self) -> int:
        """Questions of the space."""
        return len(self.products.gram)


@dataclass(frozen=True)
class Subset:
    """A set of `size` questions that one method proposed, as columns of the space in rising order.

    Where no penalty of the elastic net gives the size exactly, the set is smaller. `alpha` is NaN where the method has
    no penalty. `shares` (questions,) is each question's share of the halves at that size, () but for `stability`.
    """

    method: str
    repeat: int
    size: int
    features: tuple[int, ...]
    alpha: float = float("nan")
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Method:
    """A way to propose sets: of each size (sizes rise), from one training set.

    `in_words` says how a set was made, for the provenance of the set that is chosen. `look` is the colour and the style
    of its line in figures.
    """

    propose: Callable[[Training, Sequence[int], SelectSettings], list[Subset]]
    in_words: Callable[[Subset, SelectSettings], str]
    look: tuple[str, str]


def path_sizes(training: Training, settings: SelectSettings) -> list[int]:
    """Return the set sizes to make, rising: `select.sizes`, or those that the elastic net's path visits.

    BadParameter if a size is not between 1 and the number of questions.
    """
    n = training.n_questions
    for size in settings.sizes:
        if not 1 <= size <= n:
            raise BadParameter(f"select.sizes: {size} is not between 1 and {n}, the questions of the space")
    if settings.sizes:
        return sorted(set(settings.sizes))
    path = penalty_path(training.products, settings.n_alphas, settings.alpha_min_ratio)
    return sorted({len(features) for _, features in path} - {0})


@dataclass(frozen=True)
class _Shares:
    """Penalties from the largest down (penalties,), and each question's share of the halves at each (penalties, p)."""

    alphas: Array
    share: Array

    def order(self, threshold: float) -> Integers:
        """Return all questions by the penalty at which their share first reaches the threshold, the largest first.

        Ties, and questions that never reach it, go by the mean share over the penalties.
        """
        stable = self.share >= threshold
        reached = np.where(stable.any(axis=0), stable.argmax(axis=0), len(self.alphas))
        return np.lexsort((-self.share.mean(axis=0), reached))

    def at_size(self, size: int, threshold: float) -> int:
        """Return the position of the largest penalty at which `size` questions are stable, else of the last."""
        enough = np.flatnonzero((self.share >= threshold).sum(axis=1) >= size)
        return int(enough[0]) if len(enough) else len(self.alphas) - 1


def _shares(halves: Sequence[Products], alphas: Array, threshold: float, enough: int) -> _Shares:
    """Return the shares at falling penalties, down to where `enough` questions reach the threshold."""
    weights: list[Array | None] = [None] * len(halves)
    rows: list[Array] = []
    with tqdm(total=len(alphas), desc="stability", unit="penalty", leave=False) as bar:
        for alpha in alphas:
            solutions = [solve_elastic_net(half, float(alpha), w) for half, w in zip(halves, weights, strict=True)]
            weights = list(solutions)
            rows.append(np.mean([np.any(solution != 0, axis=1) for solution in solutions], axis=0))
            bar.update()
            if (rows[-1] >= threshold).sum() >= enough:
                break
    return _Shares(alphas[: len(rows)], np.stack(rows))


def _elastic_net(training: Training, sizes: Sequence[int], settings: SelectSettings) -> list[Subset]:
    """Return the sets at the penalties where the multi-task elastic net has that many questions; sizes rise."""
    points = zip(sizes, sets_of_sizes(training.products, sizes), strict=True)
    return [Subset("elastic_net", 0, size, tuple(features), alpha) for size, (alpha, features) in points]


def _stability(training: Training, sizes: Sequence[int], settings: SelectSettings) -> list[Subset]:
    """Return the sets that are stable over halves of the stories."""
    top = training.products.largest_alpha()
    alphas = np.geomspace(top, top * settings.alpha_min_ratio, settings.n_alphas)
    shares = _shares(training.halves, alphas, settings.stable_share, max(sizes))
    order = shares.order(settings.stable_share)
    sets = []
    for size in sizes:
        place = shares.at_size(size, settings.stable_share)
        of_question = tuple(float(share) for share in shares.share[place])
        sets.append(Subset("stability", 0, size, _rising(order[:size]), float(shares.alphas[place]), of_question))
    return sets


def _greedy(training: Training, sizes: Sequence[int], settings: SelectSettings) -> list[Subset]:
    """Return the first questions of greedy forward selection on held-out r (greedy.py)."""
    alphas = np.zeros(0) if training.ridge_alphas is None else training.ridge_alphas
    order = greedy_order(training.ridge, training.n_questions, alphas, max(sizes))
    return [Subset("greedy", 0, size, _rising(order[:size])) for size in sizes]


def _random(training: Training, sizes: Sequence[int], settings: SelectSettings) -> list[Subset]:
    """Return `n_random` subsets of each size; each depends on the seed, its size and its repeat alone."""
    return [
        Subset("random", repeat, size, _drawn(training.n_questions, size, (settings.seed, size, repeat)))
        for size in sizes
        for repeat in range(settings.n_random)
    ]


def _most_frequent(training: Training, sizes: Sequence[int], settings: SelectSettings) -> list[Subset]:
    """Return the questions with the largest share of yes among rows; of equal shares the larger mean answer first."""
    order = np.lexsort((-training.yes_mean, -training.yes_share))
    return [Subset("most_frequent", 0, size, _rising(order[:size])) for size in sizes]


def _drawn(n_questions: int, size: int, seed: Sequence[int]) -> tuple[int, ...]:
    return _rising(np.random.default_rng(seed).choice(n_questions, size, replace=False))


def _rising(features: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(int(i) for i in features))


METHODS = {
    "elastic_net": _Method(
        _elastic_net,
        lambda subset, settings: f"multi-task elastic net (l1_ratio {settings.l1_ratio}, alpha {subset.alpha:.4g})",
        look=("#1b6ca8", "-"),
    ),
    "stability": _Method(
        _stability,
        lambda subset, settings: (
            f"stability selection (multi-task elastic net, l1_ratio {settings.l1_ratio}, {settings.n_resamples} halves "
            f"of the stories, share {settings.stable_share}, alpha {subset.alpha:.4g})"
        ),
        look=("#c1440e", "-"),
    ),
    "greedy": _Method(
        _greedy, lambda subset, settings: "greedy forward selection on cross-validated r", look=("#3a7d44", "-")
    ),
    "random": _Method(
        _random, lambda subset, settings: f"drawing at random (seed {settings.seed})", look=("#666666", "--")
    ),
    "most_frequent": _Method(
        _most_frequent, lambda subset, settings: "taking the questions most often answered yes", look=("#8a6d3b", "--")
    ),
}
