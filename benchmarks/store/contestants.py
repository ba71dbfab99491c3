"""The same matrix in qaemb's store, in Zarr and in SQLite: each written, added to and read as it is best at.

All hold margin and mass of float32 by segment and question and can tell what is there. Zarr and SQLite get numbers for
ids; of qaemb's store, hashes of names are looked up, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qaemb.answers import Answers
from qaemb.answers.store import Store
from qaemb.identity import text_id

Values = NDArray[np.float32]

KEY = "b" * 20
_ZARR_CHUNK = (4096, 32)


def values(rows: range, columns: range) -> tuple[Values, Values]:
    """Return margin and mass of some cells: random, and the same whichever part is asked for."""
    grid = np.arange(rows.start, rows.stop, dtype=np.uint64)[:, None] * 1000 + np.arange(
        columns.start, columns.stop, dtype=np.uint64
    )
    mixed = (grid * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    margin = mixed.astype(np.float32) / np.float32(2**20) - np.float32(8)
    return margin, (np.abs(margin) / 8).astype(np.float32)


class Contestant(Protocol):
    """A way to keep the matrix under a folder."""

    def write(self, rows: range, columns: range) -> None:
        """Add cells that are not there, durable on return."""

    def read(self, rows: range, columns: range) -> tuple[Values, Values]:
        """Return margin and mass."""


class QaembStore:
    """qaemb's store with blocks of some texts and all questions that are added with them."""

    def __init__(self, folder: Path, block_texts: int) -> None:
        self.store, self.block_texts = Store(folder, KEY), block_texts

    def write(self, rows: range, columns: range) -> None:
        """Publish the cells block by block."""
        questions = _ids("question", columns)
        for part in _parts(rows, self.block_texts):
            self.store.put(_ids("segment", part), questions, Answers(*values(part, columns)))

    def read(self, rows: range, columns: range) -> tuple[Values, Values]:
        """Read the cells, every byte checked."""
        found = self.store.read(_ids("segment", rows), _ids("question", columns))
        return found.margin, found.mass


class Zarr:
    """One Zarr array with margin and mass in its last axis, compressed as Zarr does by default."""

    def __init__(self, folder: Path, block_texts: int) -> None:
        self.folder = folder

    def write(self, rows: range, columns: range) -> None:
        """Make the array as large as it must be, and fill the cells."""
        import zarr

        shape = (rows.stop, columns.stop, 2)
        if (self.folder / "zarr.json").exists():
            array: Any = zarr.open_array(self.folder, mode="r+")
            array.resize(tuple(max(one, other) for one, other in zip(shape, array.shape, strict=True)))
        else:
            array = zarr.create_array(
                self.folder, shape=shape, chunks=(*_ZARR_CHUNK, 2), dtype="float32", fill_value=float("nan")
            )
        for part in _parts(rows, _ZARR_CHUNK[0]):
            array[part.start : part.stop, columns.start : columns.stop] = np.stack(values(part, columns), axis=-1)

    def read(self, rows: range, columns: range) -> tuple[Values, Values]:
        """Read the cells."""
        import zarr

        array: Any = zarr.open_array(self.folder, mode="r")
        found = array[rows.start : rows.stop, columns.start : columns.stop]
        return found[..., 0], found[..., 1]


class Sqlite:
    """A row a cell, by question and segment, as a cache of single answers is kept."""

    def __init__(self, folder: Path, block_texts: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(folder / "answers.sqlite")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS cell (question INTEGER, segment INTEGER, margin REAL, mass REAL, "
            "PRIMARY KEY (question, segment)) WITHOUT ROWID"
        )

    def write(self, rows: range, columns: range) -> None:
        """Insert the cells, a transaction a question."""
        for question in columns:
            margin, mass = values(rows, range(question, question + 1))
            cells = zip(rows, margin[:, 0].tolist(), mass[:, 0].tolist(), strict=True)
            with self.database:
                self.database.executemany(f"INSERT INTO cell VALUES ({question}, ?, ?, ?)", cells)

    def read(self, rows: range, columns: range) -> tuple[Values, Values]:
        """Select the cells, a question at a time."""
        found = np.empty((2, len(rows), len(columns)), np.float32)
        query = "SELECT margin, mass FROM cell WHERE question = ? AND segment >= ? AND segment < ? ORDER BY segment"
        for number, question in enumerate(columns):
            own = self.database.execute(query, (question, rows.start, rows.stop)).fetchall()
            found[:, :, number] = np.array(own, np.float32).T
        return found[0], found[1]


CONTESTANTS: dict[str, Any] = {"qaemb": QaembStore, "zarr": Zarr, "sqlite": Sqlite}


def _ids(kind: str, numbers: range) -> list[str]:
    return [text_id(f"{kind} {number}") for number in numbers]


def _parts(rows: range, size: int) -> Iterator[range]:
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(rows.stop, start + size))
