"""The history of answers: per answerer a table of what became known when, cell by cell.

A row is a segment and a time (UTC); it has a float32 column per question, named by the question's id, and a value only
where the cell was new at that time: first answered, or answered otherwise than before. So publishing the same answers
again adds nothing, and one more question adds one column. What was known at a time is found by filling forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.files import read_table, write_table
from qaemb.serving.manifest import ENTITY, TIMESTAMP

_KEYS = [ENTITY, TIMESTAMP]


def history_table(
    segments: Iterable[str], times: Any, question_ids: Sequence[str], margins: np.ndarray
) -> pd.DataFrame:
    """Return a history of full rows: margins (segments, questions), NaN where a cell was not known at its time.

    `times` are what pandas takes for times, a time a segment; without a zone they are UTC.
    """
    table = pd.DataFrame(np.asarray(margins, dtype=np.float32), columns=list(question_ids))
    table.insert(0, ENTITY, np.array(list(segments), dtype=object))
    table.insert(1, TIMESTAMP, pd.DatetimeIndex(pd.to_datetime(times, utc=True)).as_unit("us"))
    return table


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the history that knows both, sorted by segment and time; of two values for one time `new` counts.

    `merged(table, table)` is `table`, and so is a merge with any part of what it knew.
    """
    both = pd.concat([old, new], ignore_index=True)
    if both.duplicated(_KEYS).any():
        both = both.groupby(_KEYS, as_index=False, sort=False).last()
    both = both.sort_values(_KEYS, kind="stable", ignore_index=True)
    return _changes(both)


def filled(history: pd.DataFrame) -> pd.DataFrame:
    """Return each row with all that was known of its segment by its time."""
    if not history[ENTITY].duplicated().any():
        return history
    values = history.groupby(ENTITY, sort=False)[_questions(history)].ffill()
    return pd.concat([history[_KEYS], values], axis=1)


def known(full: pd.DataFrame, question_ids: Sequence[str]) -> pd.DataFrame:
    """Return of a filled history the rows at which something of these questions became known, and these alone.

    A column per question, in this order, NaN where it was not known yet.
    """
    table = full.reindex(columns=[*_KEYS, *question_ids])
    values = table[list(question_ids)].to_numpy(np.float32)
    return table.iloc[_news(_same_as_before(table, values))].reset_index(drop=True)


def without(history: pd.DataFrame, segments: Sequence[str]) -> pd.DataFrame:
    """Return the table (any with a segment column) without the rows of some segments; itself where it has none."""
    gone = history[ENTITY].isin(list(segments))
    return history.loc[~gone].reset_index(drop=True) if gone.any() else history


def history_keys(folder: Path) -> list[str]:
    """Return the keys of the answerers of whose answers a folder has a history, sorted."""
    return sorted(path.stem for path in folder.glob("*.parquet"))


def read_history(folder: Path, answerer_key: str) -> pd.DataFrame:
    """Return an answerer's history; without rows where there is none."""
    path = _path(folder, answerer_key)
    if path.exists():
        return read_table(path)
    return history_table([], np.array([], "datetime64[us]"), [], np.empty((0, 0)))


def write_history(folder: Path, answerer_key: str, history: pd.DataFrame) -> None:
    """Write an answerer's history; a file that holds it already stays as it is."""
    path = _path(folder, answerer_key)
    if not path.exists() or not read_table(path).equals(history):
        write_table(path, history)


def _path(folder: Path, answerer_key: str) -> Path:
    if Path(answerer_key).name != answerer_key:
        raise BadInput(f"answerer key `{answerer_key}` can't name a file")
    return folder / f"{answerer_key}.parquet"


def _questions(history: pd.DataFrame) -> list[str]:
    return [name for name in history.columns if name not in _KEYS]


def _changes(table: pd.DataFrame) -> pd.DataFrame:
    """Return a sorted table with the cells that are news at their time alone, and without rows that have none."""
    full = filled(table)
    names = _questions(table)
    values = full[names].to_numpy(np.float32)
    same = _same_as_before(full, values)
    news = history_table(full[ENTITY], full[TIMESTAMP], names, np.where(same, np.float32(np.nan), values))
    return news.iloc[_news(same)].reset_index(drop=True)


def _same_as_before(table: pd.DataFrame, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which cells say nothing that the segment's row before did not say: NaN, or the same value."""
    follows = (table[ENTITY] == table[ENTITY].shift()).to_numpy()[:, None]
    before = np.roll(values, 1, axis=0)
    return np.isnan(values) | (follows & (values == before))


def _news(same: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the rows in which some cell is news."""
    return np.flatnonzero((~same).any(axis=1))
