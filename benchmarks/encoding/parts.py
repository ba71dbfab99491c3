"""Where the time of one fit goes, at the middle size: `python -m benchmarks.encoding.parts` from the root."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.encoding.problems import ALPHAS, DELAYS, N_FOLDS, SIZES, Size
from qaemb.encoding.moments import TargetMoments, feature_moments, target_moments
from qaemb.encoding.ridge import choose_alphas, held_out_r, plan_ridge, solve
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
        return target_moments([(x, y[:, own], fold)], (N_FOLDS, columns, own.stop - own.start))

    moments = timed("products of the features", lambda: feature_moments([(x.astype(float), fold)], N_FOLDS, columns))
    held = [(part,) for part in range(N_FOLDS)]
    plan = timed("eigenbases", lambda: plan_ridge(moments, held, "float32"))
    targets = timed("products with the responses", lambda: list(in_threads(products, shares, None)))
    scores = timed("all penalties", lambda: list(in_threads(lambda own: held_out_r(plan, own, ALPHAS), targets, None)))
    timed("one penalty", lambda: list(in_threads(lambda own: held_out_r(plan, own, ALPHAS[:1]), targets, None)))
    pairs = list(zip(targets, (choose_alphas(own, ALPHAS)[0] for own in scores), strict=True))
    timed("refit", lambda: list(in_threads(lambda pair: solve(plan, *pair), pairs, None)))
    each = (seconds.pop("all penalties") - seconds["one penalty"]) / (len(ALPHAS) - 1)
    return seconds | {"each penalty": each, "responses in the bases": seconds.pop("one penalty") - each}


if __name__ == "__main__":
    for part, taken in measure(SIZES[-1]).items():
        print(f"{part:30} {taken:5.1f} s")
