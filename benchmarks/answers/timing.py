"""One timed call, and what several of them say: rates, medians, ratios paired round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.cases import Asked

T = TypeVar("T")


@dataclass(frozen=True)
class Timed:
    """One call: cells, CPU and wall seconds, margins (texts, questions) where the contestant gives them, extras."""

    n_cells: int
    cpu_s: float
    wall_s: float
    margin: NDArray[np.float32] | None = None
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def cells_per_core_s(self) -> float:
        """Cells in a second of one core."""
        return self.n_cells / self.cpu_s


class Contestant(Protocol):
    """One way to answer. What it loads, warms up or tries out in `prepare` is not timed."""

    def prepare(self, sample: Asked) -> None:
        """Get ready for calls like `sample` (its prompt and its length of texts)."""

    def answer(self, asked: Asked) -> Timed:
        """Answer and say how long it took."""

    def about(self) -> dict[str, Any]:
        """Return what a reader of the result must know: versions, batch sizes; JSON-able."""

    def close(self) -> None:
        """Let go of models and processes."""


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Return what `work` returns, and the CPU seconds of this process and wall seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return median, smallest, largest and all values, to four significant digits."""
    return {
        "median": _short(float(np.median(values))),
        "min": _short(min(values)),
        "max": _short(max(values)),
        "all": [_short(value) for value in values],
    }


def paired_ratio(ours: Sequence[Timed], theirs: Sequence[Timed]) -> dict[str, Any]:
    """Return the summary of the rounds' ratios of cells per core-second; what slows a whole round cancels out."""
    return summary([a.cells_per_core_s / b.cells_per_core_s for a, b in zip(ours, theirs, strict=True)])


def margin_difference(a: Timed, b: Timed) -> float | None:
    """Return the largest |difference| of margins over the texts that both answered; None where one gives none."""
    if a.margin is None or b.margin is None:
        return None
    rows = min(len(a.margin), len(b.margin))
    return float(np.abs(a.margin[:rows] - b.margin[:rows]).max())


def _short(value: float) -> float:
    return float(f"{value:.4g}")
