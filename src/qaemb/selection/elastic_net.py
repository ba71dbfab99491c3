"""Multi-task elastic net from products of the data, by accelerated proximal gradient steps (FISTA).

    minimise over W    ||Y - X W||^2 / 2n + alpha (r sum_j |W_j| + (1 - r) ||W||^2 / 2),        |W_j| norm of row j

With G = X'X/n, C = X'Y/n and l = max eigenvalue of G + alpha (1 - r), one step is

    V = Z - (G Z - C + alpha (1 - r) Z) / l,        then each row of V shrunk by max(0, 1 - alpha r / (l |row|))

so whole questions leave. The momentum restarts when it points uphill (O'Donoghue & Candes, 2015). The same problem as
scikit-learn's MultiTaskElasticNet, which needs all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Array = NDArray[np.float64]

_TINY = float(np.finfo(np.float64).tiny)
_TOLERANCE = 1e-9  # largest step of a weight, as a share of the largest weight, at which the solution stands
_MAX_STEPS = 10_000
_MAX_HALVINGS = 40
_LOWEST_SHARE = 1e-6  # of the largest penalty: where the search for a set size ends


@dataclass(frozen=True)
class Products:
    """G = X'X/n (p, p), C = X'Y/n (p, targets), and the share of the L1 term in the penalty."""

    gram: Array
    cross: Array
    l1_ratio: float
    top: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "top", float(np.linalg.eigvalsh(self.gram)[-1]))

    def largest_alpha(self) -> float:
        """Return the smallest penalty at which no feature is left."""
        # A little above the edge, where rounding would decide whether a feature is in.
        return float(np.linalg.norm(self.cross, axis=1).max() / self.l1_ratio * (1.0 + 1e-12))


def solve_elastic_net(products: Products, alpha: float, start: Array | None = None) -> Array:
    """Return the weights (p, targets), beginning from `start`; rows of features that are out are exactly 0."""
    ridge = alpha * (1.0 - products.l1_ratio)
    lipschitz = max(products.top + ridge, _TINY)
    threshold = alpha * products.l1_ratio / lipschitz
    weights = np.zeros_like(products.cross) if start is None else start
    ahead, momentum = weights, 1.0
    for _ in range(_MAX_STEPS):
        moved = ahead - (products.gram @ ahead - products.cross + ridge * ahead) / lipschitz
        norms = np.linalg.norm(moved, axis=1, keepdims=True)
        new = moved * np.maximum(0.0, 1.0 - threshold / np.maximum(norms, _TINY))
        if np.abs(new - ahead).max() <= _TOLERANCE * np.abs(new).max():
            return new
        if ((ahead - new) * (new - weights)).sum() > 0:
            momentum, ahead = 1.0, new
        else:
            following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            ahead = new + (momentum - 1.0) / following * (new - weights)
            momentum = following
        weights = new
    return weights


def penalty_path(products: Products, n_alphas: int, alpha_min_ratio: float) -> Iterator[tuple[float, list[int]]]:
    """Yield (alpha, features with a weight) from the largest penalty down, in equal ratios, with warm starts."""
    top = products.largest_alpha()
    weights = None
    for alpha in tqdm(np.geomspace(top, top * alpha_min_ratio, n_alphas), desc="path", unit="alpha", leave=False):
        weights = solve_elastic_net(products, float(alpha), weights)
        yield float(alpha), _kept(weights)


def sets_of_sizes(products: Products, sizes: Sequence[int]) -> list[tuple[float, list[int]]]:
    """Return per size (alpha, features) with that many features, the penalty found by bisection.

    Where features enter together so that no penalty gives the size exactly, the largest set below it is returned.
    """
    top = products.largest_alpha()
    return [_set_of_size(products, size, top) for size in tqdm(sizes, desc="set sizes", unit="set", leave=False)]


def _set_of_size(products: Products, size: int, top: float) -> tuple[float, list[int]]:
    low, high = top * _LOWEST_SHARE, top
    best: tuple[float, list[int]] = (top, [])
    weights = None
    for _ in range(_MAX_HALVINGS):
        alpha = float(np.sqrt(low * high))
        weights = solve_elastic_net(products, alpha, weights)
        kept = _kept(weights)
        if len(best[1]) < len(kept) <= size:
            best = alpha, kept
        if len(kept) == size:
            break
        low, high = (alpha, high) if len(kept) > size else (low, alpha)
    return best


def _kept(weights: Array) -> list[int]:
    return [int(i) for i in np.flatnonzero(np.any(weights != 0, axis=1))]
