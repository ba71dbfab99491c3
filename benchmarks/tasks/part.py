"""What the benchmark knows of a kind of task: its data sets, the numbers to watch, and its table in docs/tasks.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Mapping[str, Any]]
"""Task -> its metrics, as the stage `downstream` writes them."""


@dataclass(frozen=True)
class Part:
    """One kind. `tasks`: name -> what `downstream.tasks` would say of it, without answerer and encoder.

    `headline` and `table` are given the figures of those tasks that ran: a set that is not at hand is left out.
    """

    kind: str
    tasks: Mapping[str, Mapping[str, Any]]
    headline: Callable[[Figures], dict[str, float]]
    table: Callable[[Figures], list[str]]


def with_interval(metrics: Mapping[str, float], name: str) -> str:
    """Return a metric as `.731 (.695 to .766)`."""
    return f"{plain(metrics[name])} ({plain(metrics[f'{name}_low'])} to {plain(metrics[f'{name}_high'])})"


def plain(value: float) -> str:
    """Return a number with three digits and no zero before the point.

    >>> plain(0.5), plain(-0.0214), plain(-0.0002), plain(1.0)
    ('.500', '-.021', '.000', '1.000')
    """
    text = f"{round(value, 3) + 0.0:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text
