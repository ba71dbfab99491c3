"""Multi-task elastic net from products of the data, by accelerated proximal gradient steps (FISTA).

    minimise over W    ||Y - X W||^2 / 2n + alpha (r sum_j |W_j| + (1 - r) ||W||^2 / 2),        |W_j| norm of row j

With G = X'X/n, C = X'Y/n and l = max eigenvalue of G + alpha (1 - r), one step is

    V = Z - (G Z - C + alpha (1 - r) Z) / l,        then each row of V shrunk by max(0, 1 - alpha r / (l |row|))

so whole questions leave. The momentum restarts when it points uphill (O'Donoghue & Candes, 2015). Steps are taken on a
working set alone; a feature j outside it belongs there when |C_j - G_j W| > alpha r, and the solution stands when none
does. The same problem as scikit-learn's MultiTaskElasticNet, which needs all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Mask

_TINY = float(np.finfo(np.float64).tiny)
_TOLERANCE = 1e-9  # largest step of a weight, as a share of the largest weight, at which the solution stands
_MAX_STEPS = 10_000
_EDGE = 1e-9  # relative: a feature this close to its edge is left out
_MAX_HALVINGS = 30
_STEP_DOWN = 0.8  # of the penalty, while a set is too small
_LOWEST_SHARE = 1e-6  # of the penalty of the size before: where the search for a size ends


@dataclass(frozen=True)
class Products:
    """G = X'X/n (p, p), C = X'Y/n (p, targets), and the share of the L1 term in the penalty."""

    gram: Array
    cross: Array
    l1_ratio: float

    def largest_alpha(self) -> float:
        """Return the smallest penalty at which no feature is left."""
        # A little above the edge, where rounding would decide whether a feature is in.
        return float(np.linalg.norm(self.cross, axis=1).max() / self.l1_ratio * (1.0 + 1e-12))


def solve_elastic_net(products: Products, alpha: float, start: Array | None = None) -> Array:
    """Return the weights (p, targets), beginning from `start`; rows of features that are out are exactly 0."""
    weights = np.zeros_like(products.cross) if start is None else start.copy()
    working = np.any(weights != 0, axis=1)
    while True:
        residual = products.cross - products.gram[:, working] @ weights[working]
        entering = ~working & (np.linalg.norm(residual, axis=1) > alpha * products.l1_ratio * (1.0 + _EDGE))
        if start is not None or entering.any():
            working |= entering
            weights[working] = _fista(_rows(products, working), alpha, weights[working])
            start = None  # a warm start is solved at least once, even where nothing enters
        else:
            return weights


def _rows(products: Products, working: Mask) -> Products:
    return Products(products.gram[np.ix_(working, working)], products.cross[working], products.l1_ratio)


def _fista(products: Products, alpha: float, weights: Array) -> Array:
    """Return the weights of a problem solved over all of its features, beginning from `weights`."""
    if len(weights) == 0:
        return weights
    ridge = alpha * (1.0 - products.l1_ratio)
    lipschitz = max(float(np.linalg.eigvalsh(products.gram)[-1]) + ridge, _TINY)
    threshold = alpha * products.l1_ratio / lipschitz
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
        yield float(alpha), _features(weights)


def sets_of_sizes(products: Products, sizes: Sequence[int], progress: bool = True) -> list[tuple[float, list[int]]]:
    """Return per size, given in rising order, (alpha, features) with that many features.

    The penalty falls until a set is large enough, then bisection finds where, from all points visited so far. Where
    features enter together so that no penalty gives the size exactly, the largest set below it is returned.
    """
    visited = [_Point(products.largest_alpha(), products.cross[:0], [])]
    sets = []
    for size in tqdm(sizes, desc="set sizes", unit="set", leave=False, disable=not progress):
        point = _largest_up_to(products, size, visited)
        sets.append((point.alpha, point.features))
    return sets


@dataclass(frozen=True)
class _Point:
    """A solution on the path: the features that have a weight, and the weights of these alone."""

    alpha: float
    weights: Array
    features: list[int]


def _at(products: Products, alpha: float, start: _Point) -> _Point:
    weights = np.zeros_like(products.cross)
    weights[start.features] = start.weights
    weights = solve_elastic_net(products, alpha, weights)
    features = _features(weights)
    return _Point(alpha, weights[features], features)


def _largest_up_to(products: Products, size: int, visited: list[_Point]) -> _Point:
    """Return the largest set of at most `size` features; new points go into `visited`, which falls in penalty."""
    end = visited[-1].alpha * _LOWEST_SHARE
    while len(visited[-1].features) < size and visited[-1].alpha > end:
        visited.append(_at(products, visited[-1].alpha * _STEP_DOWN, visited[-1]))
    above = next((i for i, point in enumerate(visited) if len(point.features) > size), len(visited))
    for _ in range(_MAX_HALVINGS):
        below = visited[above - 1]
        if len(below.features) == size or above == len(visited):
            break
        visited.insert(above, _at(products, float(np.sqrt(below.alpha * visited[above].alpha)), below))
        above += len(visited[above].features) <= size
    return visited[above - 1]


def _features(weights: Array) -> list[int]:
    return [int(i) for i in np.flatnonzero(np.any(weights != 0, axis=1))]
