"""Where the time of one fit goes, at the middle size: `python -m benchmarks.encoding.parts` from the root."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.encoding.problems import ALPHAS, DELAYS, N_FOLDS, SIZES, Size
from qaemb.arrays import Array
from qaemb.encoding.ridge import FeatureMoments, TargetMoments, _held_out_r, _solve, plan_ridge
from qaemb.encoding.ridge_cv import AT_ONCE, in_threads

_Result = TypeVar("_Result")


def measure(size: Size) -> dict[str, float]:
    """Return the seconds of each part of a fit of noise; what a penalty takes is the mean over all but one."""
    rng, columns = np.random.default_rng(0), size.features * len(DELAYS)
    x = rng.standard_normal((size.rows, columns), dtype=np.float32)
    y = rng.standard_normal((size.rows, size.voxels), dtype=np.float32)
    fold = np.arange(size.rows) * N_FOLDS // size.rows
    shares = [slice(start, min(start + AT_ONCE, size.voxels)) for start in range(0, size.voxels, AT_ONCE)]
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - start
        return result

    def products(own: slice) -> TargetMoments:
        return TargetMoments.of_rows([(x, y[:, own], fold)], (N_FOLDS, columns, own.stop - own.start))

    moments = timed(
        "products of the features", lambda: FeatureMoments.of_rows([(x.astype(float), fold)], N_FOLDS, columns)
    )
    held = [(part,) for part in range(N_FOLDS)]
    plan = timed("eigenbases", lambda: plan_ridge(moments, held, "float32"))
    targets = timed("products with the responses", lambda: list(in_threads(products, shares, None)))

    def tried(alphas: Array) -> list[Array]:
        return list(in_threads(lambda share: _held_out_r(plan, share, alphas), targets, None))

    scores = timed("all penalties", lambda: tried(ALPHAS))
    timed("one penalty", lambda: tried(ALPHAS[:1]))
    pairs = list(zip(targets, (ALPHAS[own.mean(axis=0).argmax(axis=0)] for own in scores), strict=True))
    timed("refit", lambda: list(in_threads(lambda pair: _solve(plan, *pair), pairs, None)))
    each = (seconds.pop("all penalties") - seconds["one penalty"]) / (len(ALPHAS) - 1)
    return seconds | {"each penalty": each, "responses in the bases": seconds.pop("one penalty") - each}


if __name__ == "__main__":
    for part, taken in measure(SIZES[-1]).items():
        print(f"{part:30} {taken:5.1f} s")
