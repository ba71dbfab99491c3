"""Checks of responses, read in blocks: types, shapes, holes, constant voxels, repeats, copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from qaemb.datasets.arrays import check_rows, read_block, shape_of, voxel_blocks
from qaemb.datasets.doctor.findings import Problem
from qaemb.datasets.source import Responses

_Z_MEAN, _Z_SD = 0.2, (0.1, 3.0)
_SAME_R = 0.9


@dataclass
class Compared:
    """What is compared between files: digests of responses, and the voxels of each subject, by where they were seen."""

    digests: dict[str, str] = field(default_factory=dict)
    voxels: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Facts:
    """What an array (n_trs, voxels) holds; `mean` and `sd` are over its finite values."""

    partly_nan: int
    all_nan: int
    infinite: int
    constant: int
    mean: float
    sd: float
    digest: str


@dataclass(frozen=True)
class Recorded:
    """Whose responses are looked at, where they are, how they are opened; how many rows they should have, and why."""

    subject: str
    place: str
    open: Callable[[], AbstractContextManager[Responses]]
    rows: tuple[int, str] | None = None


def check_responses(recorded: Recorded, compared: Compared) -> Iterator[Problem]:
    """Yield what is wrong with a subject's responses to a story."""
    with recorded.open() as responses:
        yield from _check_shape(recorded, responses, compared)
        facts = scan(responses.data, responses.where)
        yield from describe(facts, responses.data.shape[1], responses.data.dtype)
        twin = compared.digests.setdefault(facts.digest, recorded.place)
        if twin != recorded.place:
            yield "WARNING", f"holds the same numbers as {twin}"
        if responses.repeats is not None:
            yield from _check_repeats(responses)
        repeats = "" if responses.repeats is None else f", {len(responses.repeats)} repeats"
        yield "OK", f"{shape_of(responses.data)} {responses.data.dtype}{repeats}"
        if recorded.rows is not None:
            check_rows(responses, *recorded.rows)


def _check_shape(recorded: Recorded, responses: Responses, compared: Compared) -> Iterator[Problem]:
    n_voxels = responses.data.shape[1]
    expected, first = compared.voxels.setdefault(recorded.subject, (n_voxels, recorded.place))
    if n_voxels != expected:
        yield "ERROR", f"has {n_voxels} voxels, {first} has {expected}; all of a subject must be of one mask"


def scan(values: Any, where: str) -> Facts:
    """Return the facts of an array (n_trs, voxels) of any type of numbers; BadInput if it can't be read to the end."""
    facts = Facts(0, 0, 0, 0, 0.0, 0.0, "")
    digest, count, total, squares = hashlib.blake2b(digest_size=16), 0, 0.0, 0.0
    for place in voxel_blocks(values.shape):
        block = read_block(values, place, where)
        digest.update(np.ascontiguousarray(block, dtype=np.float32).data)
        block = block.astype(np.float64)
        nan, finite = np.isnan(block), np.isfinite(block)
        facts.all_nan += int(nan.all(axis=0).sum())
        facts.partly_nan += int((nan.any(axis=0) & ~nan.all(axis=0)).sum())
        facts.infinite += int((~finite & ~nan).sum())
        facts.constant += int((block == block[:1]).all(axis=0).sum())
        kept = block[finite]
        count, total, squares = count + kept.size, total + kept.sum(), squares + kept @ kept
    if count:
        facts.mean = total / count
        facts.sd = float(np.sqrt(max(squares / count - facts.mean**2, 0.0)))
    facts.digest = f"{shape_of(values)} {digest.hexdigest()}"
    return facts


def describe(facts: Facts, n_voxels: int, dtype: np.dtype[Any]) -> Iterator[Problem]:
    """Yield what is wrong with an array of these facts."""
    if facts.all_nan == n_voxels:
        yield "ERROR", "all values are NaN"
        return
    if facts.infinite:
        yield "ERROR", f"{facts.infinite} values are infinite; such voxels get no score"
    if facts.constant == n_voxels:
        yield "ERROR", "no voxel varies"
        return
    for number, what in ((facts.partly_nan, "NaN in some rows"), (facts.all_nan, "NaN in all rows")):
        if number:
            yield "WARNING", f"{number} of {n_voxels} voxels ({number / n_voxels:.1%}) are {what}; they get no score"
    if facts.constant:
        yield "WARNING", f"{facts.constant} of {n_voxels} voxels are constant; they get no score"
    if dtype.kind in "iu":
        yield "WARNING", f"whole numbers ({dtype}), as raw scans have; expected responses z-scored per story"
    elif abs(facts.mean) > _Z_MEAN * facts.sd or not _Z_SD[0] <= facts.sd <= _Z_SD[1]:
        yield "WARNING", f"mean {facts.mean:.3g}, sd {facts.sd:.3g} of all values: not z-scored per story?"


def _check_repeats(responses: Responses) -> Iterator[Problem]:
    n_repeats, rows, n_voxels = responses.repeats.shape  # type: ignore[union-attr]
    if n_repeats < 2:
        yield "WARNING", "a single repeat gives no noise ceiling"
        return
    same = dict.fromkeys(combinations(range(n_repeats), 2), True)
    sums = np.zeros(3)
    for _, voxels in voxel_blocks((n_repeats * rows, n_voxels)):
        data = read_block(responses.data, (slice(None), voxels), responses.where).astype(np.float64)
        runs = [read_block(responses.repeats, (run, slice(None), voxels), responses.where) for run in range(n_repeats)]
        for pair in [pair for pair, still in same.items() if still]:
            same[pair] = np.array_equal(runs[pair[0]], runs[pair[1]], equal_nan=True)
        sums += _products(data, np.stack(runs).mean(axis=0, dtype=np.float64))
    for first, second in [pair for pair, still in same.items() if still]:
        yield (
            "WARNING",
            f"repeats {first + 1} and {second + 1} are the same numbers; the noise ceiling will be too high",
        )
    r = _correlation(sums)
    if r < _SAME_R:
        yield "WARNING", f"the responses are not the mean of their repeats (r = {r:.2f}): of another story or subject?"


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(kept, x, 0.0), np.where(kept, y, 0.0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return np.array([(x * y).sum(), (x * x).sum(), (y * y).sum()])


def _correlation(sums: np.ndarray) -> float:
    scale = float(np.sqrt(sums[1] * sums[2]))
    return float(sums[0]) / scale if scale > 0 else 1.0
