"""Ways to propose subsets of questions, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qaemb.errors import BadParameter
from qaemb.selection.elastic_net import Products, penalty_path, sets_of_sizes
from qaemb.settings import SelectSettings


@dataclass(frozen=True)
class Subset:
    """Columns of the space that one method kept; `alpha` is NaN where the method has no penalty."""

    method: str
    repeat: int
    alpha: float
    features: tuple[int, ...]


def elastic_net(products: Products, settings: SelectSettings, sizes: Sequence[int]) -> list[Subset]:
    """Return the sets on the penalty's path, smallest first: of the given sizes, or one per size that it visits.

    BadParameter if a size is not between 1 and the number of questions.
    """
    n_features = len(products.gram)
    for size in sizes:
        if not 1 <= size <= n_features:
            raise BadParameter(f"select.sizes: {size} is not between 1 and {n_features}, the questions of the space")
    if sizes:
        visited = sets_of_sizes(products, sorted(set(sizes)))
    else:
        visited = list(penalty_path(products, settings.n_alphas, settings.alpha_min_ratio))
    first_of_size: dict[int, Subset] = {}
    for alpha, features in visited:
        if features:
            first_of_size.setdefault(len(features), Subset("elastic_net", 0, alpha, tuple(features)))
    return [first_of_size[size] for size in sorted(first_of_size)]


def random(products: Products, settings: SelectSettings, sizes: Sequence[int]) -> list[Subset]:
    """Return `n_random` subsets of each size; each depends on the seed, its size and its repeat alone."""
    n_features = len(products.gram)
    return [
        Subset("random", repeat, float("nan"), _drawn(n_features, size, (settings.seed, size, repeat)))
        for size in sizes
        for repeat in range(settings.n_random)
    ]


def _drawn(n_features: int, size: int, seed: Sequence[int]) -> tuple[int, ...]:
    drawn = np.random.default_rng(seed).choice(n_features, size, replace=False)
    return tuple(int(i) for i in np.sort(drawn))


METHODS: dict[str, Callable[[Products, SelectSettings, Sequence[int]], list[Subset]]] = {
    "elastic_net": elastic_net,
    "random": random,
}
