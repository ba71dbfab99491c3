"""The history of answers, and the offline tables of the feature store that are made from it.

The history is a table per answerer. A row is a segment and a time (UTC). It has a float32 column per question, named by
the question's id, and a value only where the cell was new at that time: first answered, or answered otherwise than
before. So publishing the same answers again adds nothing, and one more question adds one column. The answers of a time
are found by filling forward.

The offline tables are an array per row for what is served now, and a column per question for each former version.
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
from qaemb.serving.manifest import ARRAY, ENTITY, HISTORY, TIMESTAMP, Manifest, Version, read_manifest

ARRAY_FILE = "answers.parquet"
_KEYS = [ENTITY, TIMESTAMP]


def history_table(
    segments: Iterable[str], times: Any, question_ids: Sequence[str], margins: np.ndarray
) -> pd.DataFrame:
    """Return a history of full rows: margins (segments, questions), NaN where a cell had no answer at its time.

    `times` has a time for each segment, in any form that pandas reads; without a zone it is UTC.
    """
    table = pd.DataFrame(np.asarray(margins, dtype=np.float32), columns=list(question_ids))
    table.insert(0, ENTITY, np.array(list(segments), dtype=object))
    table.insert(1, TIMESTAMP, pd.DatetimeIndex(pd.to_datetime(times, utc=True)).as_unit("us"))
    return table


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the history with the cells of both, sorted by segment and time; of two values for one time `new` counts.

    `merged(table, table)` is `table`, and so is a merge with any part of the table.
    """
    both = pd.concat([old, new], ignore_index=True)
    if both.duplicated(_KEYS).any():
        both = both.groupby(_KEYS, as_index=False, sort=False).last()
    both = both.sort_values(_KEYS, kind="stable", ignore_index=True)
    return _changes(both)


def _filled(history: pd.DataFrame) -> pd.DataFrame:
    """Return the history with every answer that a segment had by each row's time (a forward fill per segment)."""
    if not history[ENTITY].duplicated().any():
        return history
    values = history.groupby(ENTITY, sort=False)[_questions(history)].ffill()
    return pd.concat([history[_KEYS], values], axis=1)


def _changed_rows(full: pd.DataFrame, question_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a filled history at which an answer to one of these questions was new or changed.

    A column per question, in this order, NaN where it had no answer yet.
    """
    table = full.reindex(columns=[*_KEYS, *question_ids])
    values = table[list(question_ids)].to_numpy(np.float32)
    return table.iloc[_rows_with_changes(_same_as_before(table, values))].reset_index(drop=True)


def without(history: pd.DataFrame, segments: Sequence[str]) -> pd.DataFrame:
    """Return the table (any with a segment column) without the rows of some segments; itself where it has none."""
    removed = history[ENTITY].isin(list(segments))
    return history.loc[~removed].reset_index(drop=True) if removed.any() else history


def history_keys(folder: Path) -> list[str]:
    """Return the keys of the answerers that a folder has a history of, sorted."""
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
    """Return a sorted table with NaN in cells that repeat the segment's answer, and without rows of NaN alone."""
    full = _filled(table)
    names = _questions(table)
    values = full[names].to_numpy(np.float32)
    same = _same_as_before(full, values)
    changes = history_table(full[ENTITY], full[TIMESTAMP], names, np.where(same, np.float32(np.nan), values))
    return changes.iloc[_rows_with_changes(same)].reset_index(drop=True)


def _same_as_before(table: pd.DataFrame, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which cells are NaN or have the value of the segment's row before."""
    follows = (table[ENTITY] == table[ENTITY].shift()).to_numpy()[:, None]
    before = np.roll(values, 1, axis=0)
    return np.isnan(values) | (follows & (values == before))


def _rows_with_changes(same: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the numbers of the rows in which a cell changed."""
    return np.flatnonzero((~same).any(axis=1))


def _array_table(segments: Sequence[str], margins: np.ndarray, times: Any) -> pd.DataFrame:
    """Return `segment`, `margins` (a float32 array of all questions) and `event_timestamp`, a row per segment."""
    table = history_table(segments, times, [], np.empty((len(segments), 0)))
    table.insert(1, ARRAY, list(np.asarray(margins, dtype=np.float32)))
    return table


def write_offline(
    data: Path, manifest: Manifest, versions: Sequence[Version], histories: dict[str, pd.DataFrame]
) -> None:
    """Write the offline tables into `data`: the array's, which is what is served now with its past, and the versions'.

    `histories` are by answerer key. A version that the array does not serve gets a table with a column per question; it
    has the rows at which all of its questions had answers.
    """
    full = {key: _filled(history) for key, history in histories.items()}
    served = _changed_rows(full[manifest.answerer_key], manifest.question_ids)
    margins = served[manifest.question_ids].to_numpy(np.float32)
    write_table(data / ARRAY_FILE, _array_table(list(served[ENTITY]), margins, served[TIMESTAMP]))
    for version in versions:
        if not manifest.serves(version):
            write_table(data / version.file, _version_table(full[version.answerer_key], version))


def _version_table(full: pd.DataFrame, version: Version) -> pd.DataFrame:
    rows = _changed_rows(full, version.question_ids).dropna(ignore_index=True)
    return rows.rename(columns=dict(zip(version.question_ids, version.names, strict=True)))


def version_rows(repo: Path, version: Version) -> pd.DataFrame:
    """Return the rows of a version, pushed ones too: `segment`, `event_timestamp`, a float32 column per question."""
    data, manifest = repo / "data", read_manifest(repo)
    if manifest is not None and manifest.serves(version):
        arrays = read_arrays(data, manifest)
        return _version_table(_filled(merged(arrays.iloc[:0], arrays)), version)
    if (data / version.file).exists():
        return read_table(data / version.file)
    return _version_table(_filled(read_history(repo / HISTORY, version.answerer_key)), version)


def read_arrays(data: Path, manifest: Manifest) -> pd.DataFrame:
    """Return the array's table as a history of full rows, pushed rows included.

    A row is left out if its array's length is not the number of published questions.
    """
    table = read_table(data / ARRAY_FILE)
    width = len(manifest.questions)
    fits = table[ARRAY].map(lambda array: array is not None and len(array) == width).to_numpy(bool)
    rows = table[fits]
    margins = np.stack(rows[ARRAY].to_list()) if len(rows) else np.empty((0, width))
    return history_table(rows[ENTITY], rows[TIMESTAMP], manifest.question_ids, margins)


def append_arrays(data: Path, segments: Sequence[str], margins: np.ndarray, times: Any) -> pd.DataFrame:
    """Add rows (margins of all published questions) to the array's table, and return these rows.

    Feast's own offline write truncates the file that it then writes; here a reader sees the old table or the new one.
    """
    new = _array_table(segments, margins, times)
    write_table(data / ARRAY_FILE, pd.concat([read_table(data / ARRAY_FILE), new], ignore_index=True))
    return new
