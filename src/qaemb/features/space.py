"""A feature space: named columns, one row per response row of every story; in memory and as a Parquet table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Floats, Floats32
from qaemb.errors import BadInput
from qaemb.files import read_table, write_table

_KEYS = ["story", "tr"]
_RELATIVE_ZERO = 1e-9  # a standard deviation below this share of the largest |value| is rounding, not variation


@dataclass(frozen=True)
class Space:
    """Feature names in order, story -> raw values float32 (n_trs, n_features), and what was measured while building.

    `parts`: the spaces that are joined in this one, name -> their columns; none where it was not joined.
    """

    names: list[str]
    values: dict[str, Floats32]
    figures: dict[str, float] = field(default_factory=dict)
    parts: dict[str, slice] = field(default_factory=dict)


def write_space(path: Path, space: Space) -> None:
    """Write `features.parquet`; BadInput if a name stands twice, is a key column, or a value is not finite."""
    _check_names(path, space.names)
    for story, values in space.values.items():
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=0))
        if len(wrong):
            raise BadInput(
                f"{path}: feature `{space.names[wrong[0]]}` is not finite in story {story}; correct its input"
            )
    lengths = [len(values) for values in space.values.values()]
    keys = pd.DataFrame(
        {
            "story": np.repeat(list(space.values), lengths),
            "tr": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        }
    )
    features = pd.DataFrame(np.vstack(list(space.values.values())), columns=space.names)
    write_table(path, pd.concat([keys, features], axis=1))


def read_space(path: Path) -> Space:
    """Return the space of a `features.parquet`; BadInput if it lacks the key columns or its rows are out of order."""
    table = read_table(path)
    if list(table.columns[:2]) != _KEYS:
        raise BadInput(f"{path} does not begin with the columns story and tr; run the stage `features` again")
    names = [str(name) for name in table.columns[2:]]
    values = {}
    for story, rows in table.groupby("story", sort=False):
        if not np.array_equal(rows["tr"].to_numpy(), np.arange(len(rows))):
            raise BadInput(
                f"{path}: the rows of story {story} are not 0 to {len(rows) - 1} in order; run `features` again"
            )
        values[str(story)] = rows.iloc[:, 2:].to_numpy(np.float32)
    return Space(names, values)


def join_spaces(names: Sequence[str], spaces: Sequence[Space]) -> Space:
    """Return the columns of several spaces side by side, in the order given.

    Features of a joined space are called `SPACE:FEATURE`, as two spaces may hold the same question; those of a single
    space keep their names. BadInput if the spaces differ in their stories or rows.
    """
    ends = np.cumsum([len(space.names) for space in spaces]).tolist()
    parts = {name: slice(end - len(space.names), end) for name, space, end in zip(names, spaces, ends, strict=True)}
    first = spaces[0]
    if len(spaces) == 1:
        return replace(first, parts=parts)
    shape = {story: len(values) for story, values in first.values.items()}
    for name, space in zip(names, spaces, strict=True):
        if {story: len(values) for story, values in space.values.items()} != shape:
            raise BadInput(f"feature spaces {names[0]} and {name} differ in stories or rows; run `dvc repro features`")
    joined = {story: np.hstack([space.values[story] for space in spaces]) for story in first.values}
    features = [f"{name}:{feature}" for name, space in zip(names, spaces, strict=True) for feature in space.names]
    return Space(features, joined, parts=parts)


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        raise BadInput(f"{path} would have no feature")
    earlier = set(_KEYS)
    for name in names:
        if name in earlier:
            raise BadInput(f"{path}: the feature name `{name}` is there twice or is a key column; rename it")
        earlier.add(name)


def zscore(values: Floats) -> Array:
    """Return columns of (rows, features) with mean 0 and standard deviation 1 (divided by n, not n - 1).

    A column that does not vary is only demeaned: it becomes zeros.

    >>> zscore(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    sd = centred.std(axis=0)
    varies = sd > _RELATIVE_ZERO * np.abs(values).max(axis=0)
    centred[:, ~varies] = 0.0
    return centred / np.where(varies, sd, 1.0)
