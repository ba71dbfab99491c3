"""The answer store: a folder of immutable Parquet blocks, so that an answer is bought once.

    <store>/<answerer key>/<text block>-<question block>-<sha256 of the file>.parquet

A block holds margin and mass of some segments under some questions; its name is the hash of their ids and of its own
bytes. The listing is the index. A block appears whole or not at all (temporary file, flush, rename, flush of the
folder), it is never changed, and its digest is checked before anything parses it. Several processes may write: of two
blocks with one text and question block, the one with the smaller digest counts; of two blocks that overlap, the one
whose name sorts first. What this accepts: two processes may answer the same block twice, and a killed one may leave a
hidden temporary file, which is never read.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qaemb.answers.answerer import Answers
from qaemb.errors import BadInput, QaembError, StoreError
from qaemb.files import atomic_file
from qaemb.identity import json_id

_NAME = re.compile(r"(?P<block>[0-9a-f]{20}-[0-9a-f]{20})-(?P<digest>[0-9a-f]{64})\.parquet")


def block_name(segment_ids: Sequence[str], question_ids: Sequence[str]) -> str:
    """Return the part of a block's name that says what is in it: hashes of its segment ids and its question ids."""
    return f"{json_id(list(segment_ids))}-{json_id(list(question_ids))}"


@dataclass(frozen=True)
class Store:
    """One answerer's blocks. Reads and writes nothing but its own folder."""

    root: Path
    key: str

    @property
    def folder(self) -> Path:
        """Where this answerer's blocks are."""
        return self.root / self.key

    def has(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> bool:
        """Return whether a block of exactly these ids is there."""
        return any(self.folder.glob(f"{block_name(segment_ids, question_ids)}-*.parquet"))

    def put(self, segment_ids: Sequence[str], question_ids: Sequence[str], answers: Answers) -> Path:
        """Publish a block and return its path; StoreError on a full disk or without permission, with nothing written.

        BadInput if the shapes disagree or a value is not finite.
        """
        shape = (len(segment_ids), len(question_ids))
        for values in (answers.margin, answers.mass):
            if values.shape != shape or not np.isfinite(values).all():
                raise BadInput(f"a block of shape {shape} needs finite answers of that shape, not {values.shape}")
        content = _to_bytes(segment_ids, question_ids, answers)
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / f"{block_name(segment_ids, question_ids)}-{digest}.parquet"
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        except QaembError as error:
            raise StoreError(str(error)) from error
        return path

    def read(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Answers:
        """Return what the store has, (segments, questions), NaN where it has nothing; StoreError at a damaged block."""
        shape = (len(segment_ids), len(question_ids))
        found = Answers(np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32))
        rows, columns = pd.Index(segment_ids), {name: number for number, name in enumerate(question_ids)}
        for path, digest in self._blocks():
            _fill(found, _checked_table(path, digest), rows, columns)
        return found

    def _blocks(self) -> Iterator[tuple[Path, str]]:
        """Paths and digests of the blocks that count, by name."""
        counted: str | None = None
        for path in sorted(self.folder.glob("*.parquet")):
            match = _NAME.fullmatch(path.name)
            if path.name.startswith("."):
                continue
            if not match:
                raise StoreError(f"{path} does not have the name of a block; move it out of the store")
            if match["block"] != counted:  # the first of a name has the smallest digest
                counted = match["block"]
                yield path, match["digest"]


def _to_bytes(segment_ids: Sequence[str], question_ids: Sequence[str], answers: Answers) -> bytes:
    columns: dict[str, pa.Array] = {"segment_id": pa.array(list(segment_ids), pa.string())}
    for kind, values in (("margin", answers.margin), ("mass", answers.mass)):
        for number, name in enumerate(question_ids):
            columns[f"{kind}:{name}"] = pa.array(values[:, number], pa.float32())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _checked_table(path: Path, digest: str) -> pa.Table:
    """Parse a block whose bytes are those that were published."""
    way_out = f"delete it and run `qaemb answers` again: only the cells of {path.name} are answered anew"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"block {path} can't be read ({error.strerror}); make it readable, or {way_out}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(f"block {path} is damaged (its SHA-256 is not the one in its name); {way_out}")
    try:
        return pq.read_table(pa.BufferReader(content))
    except pa.ArrowInvalid as error:
        raise StoreError(f"block {path} is not a Parquet file ({error}); {way_out}") from error


def _fill(found: Answers, table: pa.Table, rows: pd.Index, columns: dict[str, int]) -> None:
    """Copy a block's wanted cells into `found` where it has none yet."""
    target = rows.get_indexer(pd.Index(table.column("segment_id").to_pylist()))
    source = np.flatnonzero(target >= 0)
    target = target[source]
    names = [name.removeprefix("margin:") for name in table.column_names if name.startswith("margin:")]
    for name in names:
        if name not in columns:
            continue
        empty = np.isnan(found.margin[target, columns[name]])
        into, out_of = target[empty], source[empty]
        found.margin[into, columns[name]] = table.column(f"margin:{name}").to_numpy()[out_of]
        found.mass[into, columns[name]] = table.column(f"mass:{name}").to_numpy()[out_of]
