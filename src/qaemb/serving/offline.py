"""The offline tables of the feature store: arrays of what is served now, columns of what was served before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.files import read_table, write_table
from qaemb.serving.history import filled, history_table, known, merged, read_history
from qaemb.serving.manifest import ARRAY, ENTITY, TIMESTAMP, Manifest, read_manifest
from qaemb.serving.versions import Version

ARRAY_FILE = "answers.parquet"
HISTORY = "history"
_VERSIONS = "versions"


def version_file(version_id: str) -> str:
    """Return where in the folder data/ the table of a former version is."""
    return f"{_VERSIONS}/{version_id}.parquet"


def array_table(segments: Sequence[str], margins: np.ndarray, times: Any) -> pd.DataFrame:
    """Return `segment`, `margins` (a float32 array of all questions) and `event_timestamp`, a row per segment."""
    table = history_table(segments, times, [], np.empty((len(segments), 0)))
    table.insert(1, ARRAY, list(np.asarray(margins, dtype=np.float32)))
    return table


def write_offline(
    data: Path, manifest: Manifest, versions: Sequence[Version], histories: dict[str, pd.DataFrame]
) -> int:
    """Write the offline tables into `data` and return how many rows the array's has: what is served now, with its past.

    `histories` are by answerer key. A version that the array does not serve gets a table of its own, with a column per
    question, of the rows at which all of its questions had answers.
    """
    full = {key: filled(history) for key, history in histories.items()}
    served = known(full[manifest.answerer_key], manifest.question_ids)
    margins = served[manifest.question_ids].to_numpy(np.float32)
    write_table(data / ARRAY_FILE, array_table(list(served[ENTITY]), margins, served[TIMESTAMP]))
    for version in versions:
        if not manifest.serves(version):
            write_table(data / version_file(version.id), _version_table(full[version.answerer_key], version))
    return len(served)


def _version_table(full: pd.DataFrame, version: Version) -> pd.DataFrame:
    rows = known(full, version.question_ids).dropna(ignore_index=True)
    return rows.rename(columns=dict(zip(version.question_ids, version.names, strict=True)))


def version_rows(repo: Path, version: Version) -> pd.DataFrame:
    """Return the rows of a version, pushed ones too: `segment`, `event_timestamp`, a float32 column per question."""
    data, manifest = repo / "data", read_manifest(repo)
    if manifest is not None and manifest.serves(version):
        arrays = read_arrays(data, manifest)
        return _version_table(filled(merged(arrays.iloc[:0], arrays)), version)
    if (data / version_file(version.id)).exists():
        return read_table(data / version_file(version.id))
    return _version_table(filled(read_history(repo / HISTORY, version.answerer_key)), version)


def read_arrays(data: Path, manifest: Manifest) -> pd.DataFrame:
    """Return what the array's table holds, as a history of full rows: pushed rows are in it, too.

    A row whose array has another length than the published questions is left out: it is no answer to them.
    """
    table = read_table(data / ARRAY_FILE)
    width = len(manifest.questions)
    fits = table[ARRAY].map(lambda array: array is not None and len(array) == width).to_numpy(bool)
    own = table[fits]
    margins = np.stack(own[ARRAY].to_list()) if len(own) else np.empty((0, width))
    return history_table(own[ENTITY], own[TIMESTAMP], manifest.question_ids, margins)


def append_arrays(data: Path, new: pd.DataFrame) -> None:
    """Add rows to the array's table.

    Feast's own offline write truncates the file that it then writes; here a reader sees the old table or the new one.
    """
    old = read_table(data / ARRAY_FILE)
    write_table(data / ARRAY_FILE, pd.concat([old, new], ignore_index=True))
