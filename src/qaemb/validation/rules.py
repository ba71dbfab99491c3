"""What an answer matrix must satisfy, as plain data: tables to check, and rules on them.

Most rules are on a table with one row per question (`summarise`). A rule on the wide matrix would be a rule per column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from qaemb.settings import ValidateSettings

_KEY = "segment_id"


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
    for name in [str(column) for column in margin.columns if column != _KEY]:
        masses = _numbers(mass[name]) if name in mass else nothing
        rows.append({"name": name, **_margins(_numbers(margin[name])), **_masses(masses, low_mass)})
    return pd.DataFrame(rows, columns=_COLUMNS)


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _margins(values: np.ndarray) -> dict[str, float | int]:
    finite = values[np.isfinite(values)]
    return {
        "mean": _statistic(np.mean, finite),
        "sd": _statistic(np.std, finite),
        "min": _statistic(np.min, finite),
        "max": _statistic(np.max, finite),
        "yes_rate": _statistic(np.mean, finite > 0),
        "n_distinct": int(np.unique(finite).size),
        "n_missing": int(values.size - finite.size),
    }


def _masses(values: np.ndarray, low_mass: float) -> dict[str, float | int]:
    finite = values[np.isfinite(values)]
    return {
        "mean_mass": _statistic(np.mean, finite),
        "min_mass": _statistic(np.min, finite),
        "max_mass": _statistic(np.max, finite),
        "share_low_mass": _statistic(np.mean, finite < low_mass),
        "n_missing_mass": int(values.size - finite.size),
    }


def _statistic(function: Callable[[np.ndarray], np.floating], values: np.ndarray) -> float:
    return float(function(values)) if values.size else float("nan")


_COLUMNS = [
    *["name", "mean", "sd", "min", "max", "yes_rate", "n_distinct", "n_missing"],
    *["mean_mass", "min_mass", "max_mass", "share_low_mass", "n_missing_mass"],
]


_MASS_ROUNDING = 1e-5  # P(yes) + P(no) may exceed 1 by the rounding of a float32 softmax


@dataclass(frozen=True)
class Matrix:
    """An answer matrix, and what it should hold.

    `margin`, `mass`: `segment_id` and a float32 column per question; `segment_ids`, `questions`: those of the job, in
    order.
    """

    margin: pd.DataFrame
    mass: pd.DataFrame
    segment_ids: list[str]
    questions: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether margin and mass have every cell of the job once, all finite: only then they can be compared."""
        columns = [_KEY, *self.questions]
        return all(
            list(table.columns) == columns
            and table[_KEY].tolist() == self.segment_ids
            and table[_KEY].is_unique
            and bool(np.isfinite(table[self.questions].to_numpy(np.float64)).all())
            for table in (self.margin, self.mass)
        )


@dataclass(frozen=True)
class Rule:
    """A Great Expectations expectation by its class name, its arguments, and what it means in words."""

    expectation: str
    says: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table to check and its rules. `names` is the column that names the rows where a rule fails.

    None: the rules are on the table as a whole.
    """

    name: str
    frame: pd.DataFrame
    rules: tuple[Rule, ...]
    names: str | None = None


def tables_to_check(matrix: Matrix, summary: pd.DataFrame, limits: ValidateSettings) -> list[Table]:
    """Return the tables and rules for one matrix: its shape, its segments, and the summary of its questions.

    `summary` is the matrix's own, from `summarise`.
    """
    return [
        Table("margin", matrix.margin, _shape_rules(matrix)),
        Table("mass", matrix.mass, _shape_rules(matrix)),
        Table("segments", _segments(matrix), _segment_rules(), names=_KEY),
        Table("questions", summary, _question_rules(limits), names="name"),
    ]


def _shape_rules(matrix: Matrix) -> tuple[Rule, ...]:
    n = len(matrix.segment_ids)
    columns = [_KEY, *matrix.questions]
    return (
        Rule(
            "ExpectTableColumnsToMatchOrderedList",
            "the columns are segment_id and the set's questions, in the set's order",
            {"column_list": columns},
        ),
        Rule("ExpectTableRowCountToEqual", f"there is a row for each of the {n} segments", {"value": n}),
    )


def _segments(matrix: Matrix) -> pd.DataFrame:
    """Return the segments of margin, mass and the job side by side, with None where one is shorter."""
    columns = {
        _KEY: matrix.margin[_KEY].astype(object),
        "segment_id_of_mass": matrix.mass[_KEY].astype(object),
        "expected": pd.Series(matrix.segment_ids, dtype=object),
    }
    table = pd.concat([column.reset_index(drop=True) for column in columns.values()], axis=1, keys=list(columns))
    return table.where(table.notna(), None)


def _segment_rules() -> tuple[Rule, ...]:
    return (
        Rule("ExpectColumnValuesToBeUnique", "no segment stands there twice", {"column": _KEY}),
        Rule(
            "ExpectColumnPairValuesToBeEqual",
            "the rows are the segments of the segmentation, in its order",
            {"column_A": _KEY, "column_B": "expected", "ignore_row_if": "both_values_are_missing"},
        ),
        Rule(
            "ExpectColumnPairValuesToBeEqual",
            "margin and mass have the same rows",
            {"column_A": _KEY, "column_B": "segment_id_of_mass", "ignore_row_if": "both_values_are_missing"},
        ),
    )


def _question_rules(limits: ValidateSettings) -> tuple[Rule, ...]:
    def between(column: str, says: str, **bounds: Any) -> Rule:
        return Rule("ExpectColumnValuesToBeBetween", says, {"column": column, **bounds})

    limit = limits.margin_limit
    return (
        between("n_missing", "no margin is missing or infinite", min_value=0, max_value=0),
        between("n_missing_mass", "no mass is missing or infinite", min_value=0, max_value=0),
        Rule("ExpectColumnValuesToNotBeNull", "there are margins", {"column": "sd"}),
        between("min", f"margins are at least {-limit:g} nats", min_value=-limit),
        between("max", f"margins are at most {limit:g} nats", max_value=limit),
        between(
            "sd", f"margins vary: their sd is above {limits.min_sd:g} nats", min_value=limits.min_sd, strict_min=True
        ),
        between("min_mass", "mass is at least 0", min_value=0),
        between("max_mass", "mass is at most 1", max_value=1 + _MASS_ROUNDING),
        between("mean_mass", f"the mean mass is at least {limits.min_mean_mass:g}", min_value=limits.min_mean_mass),
    )
