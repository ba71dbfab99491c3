"""The offline tables of the feature store: the same margins once as arrays and once with a column per question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.files import read_table, write_table
from qaemb.serving.manifest import ARRAY, ENTITY, TIMESTAMP

ARRAY_FILE = "answers.parquet"
WIDE_FILE = "answers_wide.parquet"

# An answer is a function of the text and the answerer, so it holds at all times. One early constant makes every later
# point-in-time join find it, and the same matrix give the same files.
ANSWERED_AT = pd.Timestamp("2000-01-01", tz="UTC")


def array_table(segments: list[str], margins: np.ndarray) -> pd.DataFrame:
    """Return `segment`, `margins` (a float32 array of all questions) and `event_timestamp`, a row per segment."""
    rows = list(np.asarray(margins, dtype=np.float32))
    return pd.DataFrame({ENTITY: segments, ARRAY: rows, TIMESTAMP: ANSWERED_AT})


def wide_table(segments: list[str], margins: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Return `segment`, a float32 column per question and `event_timestamp`, a row per segment."""
    table = pd.DataFrame(np.asarray(margins, dtype=np.float32), columns=names)
    table.insert(0, ENTITY, segments)
    return table.assign(**{TIMESTAMP: ANSWERED_AT})


def write_offline(data: Path, segments: list[str], margins: np.ndarray, names: list[str]) -> None:
    """Write both offline tables into `data`."""
    write_table(data / ARRAY_FILE, array_table(segments, margins))
    write_table(data / WIDE_FILE, wide_table(segments, margins, names))


def append_offline(data: Path, segments: list[str], margins: np.ndarray, names: list[str]) -> None:
    """Add rows to both offline tables; a segment that a table has already is left as it is.

    Feast's own offline write truncates the file that it then writes; here a reader sees the old table or the new one.
    """
    for file, new in (
        (ARRAY_FILE, array_table(segments, margins)),
        (WIDE_FILE, wide_table(segments, margins, names)),
    ):
        old = read_table(data / file)
        unknown = new[~new[ENTITY].isin(old[ENTITY])]
        write_table(data / file, pd.concat([old, unknown], ignore_index=True))
