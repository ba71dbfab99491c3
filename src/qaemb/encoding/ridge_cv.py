"""Ridge regression on arrays in memory, without data set, stages or files: one penalty a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from qaemb.arrays import Array, Floats, Integers
from qaemb.encoding.ridge import FeatureMoments, RidgeFit, TargetMoments, fit_targets, plan_ridge
from qaemb.errors import BadInput

AT_ONCE = 1024  # targets that one thread works on at a time
_Share = TypeVar("_Share")
_Result = TypeVar("_Result")


def ridge_cv(
    x: Floats,
    y: Floats,
    fold: Integers,
    alphas: Sequence[float] | Array,
    threads: int | None = None,
    precision: Literal["float32", "float64"] = "float32",
) -> RidgeFit:
    """Return ridge regression of y (rows, targets) on x (rows, features), without an intercept.

    Per target the penalty is the one with the highest mean correlation on the held-out folds; the weights are fitted on
    all rows. `fold` (rows,) numbers the fold of each row from 0, best by story, so that neighbouring rows are not on
    both sides. Centre x and y first. BadInput if the rows differ, a value is not finite or there is one fold only.
    """
    _check(x, y, fold)
    n_parts, penalties = int(fold.max()) + 1, np.asarray(alphas, dtype=np.float64)
    moments = FeatureMoments.of_rows([(x.astype(np.float64), fold)], n_parts, x.shape[1])
    plan = plan_ridge(moments, [(part,) for part in range(n_parts)], precision)
    design = x.astype(precision, copy=False)

    def fit(share: slice) -> RidgeFit:
        targets = y[:, share].astype(precision, copy=False)
        shape = (n_parts, x.shape[1], targets.shape[1])
        return fit_targets(plan, TargetMoments.of_rows([(design, targets, fold)], shape), penalties)

    weights = np.empty((x.shape[1], y.shape[1]), precision)
    alpha, r = np.empty(y.shape[1]), np.empty(y.shape[1])
    shares = shares_of(y.shape[1], AT_ONCE)
    for share, result in zip(shares, in_threads(fit, shares, threads), strict=True):
        weights[:, share], alpha[share], r[share] = result.weights, result.alpha, result.r
    return RidgeFit(weights, alpha, r)


def shares_of(n: int, size: int) -> list[slice]:
    """Return 0 to n in slices of `size`, the last one of what is left.

    >>> shares_of(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def in_threads(work: Callable[[_Share], _Result], shares: Iterable[_Share], threads: int | None) -> Iterator[_Result]:
    """Yield what `work` returns for each share, in order; `threads` None: as many as there are cores to use.

    Each thread has a BLAS of one thread. So threads never wait for each other, as the threads of one BLAS call do on a
    busy machine, and the passes over arrays between the matrix products are parallel, too.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or cpu_count()) as pool:
        yield from pool.map(work, shares)


def _check(x: Floats, y: Floats, fold: Integers) -> None:
    if not (x.ndim == y.ndim == 2 and len(x) == len(y) == len(fold)):
        raise BadInput(f"x {x.shape}, y {y.shape} and fold {fold.shape} must have the same rows, x and y two axes")
    if set(np.unique(fold).tolist()) != set(range(int(fold.max()) + 1)) or fold.max() < 1:
        raise BadInput("fold must number the rows from 0 on, without a gap, in two folds or more")
    for name, values in (("x", x), ("y", y)):
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=0))
        if len(wrong):
            raise BadInput(f"{name} is not finite in column {wrong[0]}; take such columns out")
