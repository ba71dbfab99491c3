"""One row per question that says all that a check of an answer matrix needs: the wide matrix itself is not checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

_KEY = "segment_id"


def question_columns(matrix: pd.DataFrame) -> list[str]:
    """Return the names of a matrix's question columns, in their order."""
    return [str(name) for name in matrix.columns if name != _KEY]


def summarise(margin: pd.DataFrame, mass: pd.DataFrame, low_mass: float) -> pd.DataFrame:
    """Return a table with one row per question of the margin matrix, in its order.

    Columns: `name`; `mean`, `sd` (population), `min`, `max` of the margins in nats; `yes_rate` (share of margins above
    0); `n_distinct` margins; `n_missing` cells (NaN or infinite); `mean_mass`, `min_mass`, `max_mass`; `share_low_mass`
    (share of cells below `low_mass`); `n_missing_mass`. Missing cells are counted and otherwise left out; a statistic
    without a cell is NaN. A question without a column of mass misses every cell of it.

    >>> margin = pd.DataFrame({"segment_id": ["a", "b"], "food": [1.0, -3.0]})
    >>> mass = pd.DataFrame({"segment_id": ["a", "b"], "food": [0.9, 0.05]})
    >>> summarise(margin, mass, low_mass=0.1)[["name", "mean", "sd", "yes_rate", "share_low_mass"]].values.tolist()
    [['food', -1.0, 2.0, 0.5, 0.5]]
    """
    nothing = np.full(len(margin), np.nan)
    rows = []
    for name in question_columns(margin):
        masses = _numbers(mass[name]) if name in mass else nothing
        rows.append({"name": name, **_margins(_numbers(margin[name])), **_masses(masses, low_mass)})
    return pd.DataFrame(rows, columns=_COLUMNS)


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _margins(values: np.ndarray) -> dict[str, float | int]:
    known = values[np.isfinite(values)]
    return {
        "mean": _statistic(np.mean, known),
        "sd": _statistic(np.std, known),
        "min": _statistic(np.min, known),
        "max": _statistic(np.max, known),
        "yes_rate": _statistic(np.mean, known > 0),
        "n_distinct": int(np.unique(known).size),
        "n_missing": int(values.size - known.size),
    }


def _masses(values: np.ndarray, low_mass: float) -> dict[str, float | int]:
    known = values[np.isfinite(values)]
    return {
        "mean_mass": _statistic(np.mean, known),
        "min_mass": _statistic(np.min, known),
        "max_mass": _statistic(np.max, known),
        "share_low_mass": _statistic(np.mean, known < low_mass),
        "n_missing_mass": int(values.size - known.size),
    }


def _statistic(take: Callable[[np.ndarray], np.floating], known: np.ndarray) -> float:
    return float(take(known)) if known.size else float("nan")


_COLUMNS = [
    *["name", "mean", "sd", "min", "max", "yes_rate", "n_distinct", "n_missing"],
    *["mean_mass", "min_mass", "max_mass", "share_low_mass", "n_missing_mass"],
]
