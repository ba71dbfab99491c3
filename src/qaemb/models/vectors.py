"""Vectors of texts, kept by content: a text goes through a model once, whatever story or segmentation it stands in.

    <root>/<key>/<hash of the segment ids>-<sha256 of the file>.parquet

The key is the hash of what makes a vector (model digest, layer, pooling, dtype), which `spec.json` beside the files
says in words. Files appear whole or not at all and are never changed; their SHA-256 is checked before they are parsed.
A damaged file is named and removed, and its texts are embedded again: vectors can be lost, never wrong. Several
processes may write; of two vectors of one text, that of the file whose name sorts first counts.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.errors import QaembError, StoreError
from qaemb.files import atomic_file, plain_os_errors, write_json
from qaemb.identity import json_id, text_id
from qaemb.models.inputs import Progress

Matrix = NDArray[np.float32]

_NAME = re.compile(r"[0-9a-f]{20}-(?P<digest>[0-9a-f]{64})\.parquet")
_BLOCK = 1024  # texts in a file: a stopped run loses at most these


class VectorSource(Protocol):
    """A model that gives one or more vectors of each text in one pass."""

    @property
    def name(self) -> str:
        """The model's name, for the progress bar."""

    @property
    def specs(self) -> list[dict[str, Any]]:
        """For each kind of vector everything that changes it, as JSON-able values."""

    def vectors(self, texts: Sequence[str], progress: Progress) -> list[Matrix]:
        """Return for each spec float32 (texts, d); `progress` is called with the number of texts done."""


@dataclass(frozen=True)
class _VectorFolder:
    """The vectors of one spec."""

    root: Path
    spec: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.root / json_id(self.spec)

    def read(self, segment_ids: Collection[str]) -> dict[str, Matrix]:
        """Return segment id -> vector (d,) of those texts that stand in a sound file.

        Files that are not sound are named and removed. StoreError if a file can't be read or does not belong here.
        """
        by_id: dict[str, Matrix] = {}
        for table in self._tables():
            ids, vectors = _content(table)
            rows = [row for row, segment_id in enumerate(ids) if segment_id in segment_ids and segment_id not in by_id]
            selected = vectors if len(rows) == len(ids) else vectors[rows]  # a copy: the others need not stay in memory
            by_id.update(zip((ids[row] for row in rows), selected, strict=True))
        return by_id

    def ids(self) -> set[str]:
        """Return the segment ids of all texts in sound files; errors as in `read`."""
        return {segment_id for table in self._tables() for segment_id in table.column("segment_id").to_pylist()}

    def put(self, segment_ids: Sequence[str], vectors: Matrix) -> None:
        """Publish the vectors (texts, d) of some texts; StoreError on a full disk or without permission."""
        content = _to_bytes(segment_ids, vectors)
        name = f"{json_id(list(segment_ids))}-{hashlib.sha256(content).hexdigest()}.parquet"
        try:
            if not (self.folder / "spec.json").exists():
                write_json(self.folder / "spec.json", dict(self.spec))
            with atomic_file(self.folder / name) as temporary:
                temporary.write_bytes(content)
        except QaembError as error:
            raise StoreError(str(error)) from error

    def _tables(self) -> Iterator[pa.Table]:
        """Yield the content of the sound files, by name; remove the others."""
        for path in sorted(self.folder.glob("*.parquet")):
            match = _NAME.fullmatch(path.name)
            if not match:
                raise StoreError(f"{path} does not have the name of a file of vectors; move it out of the store")
            try:
                content = path.read_bytes()
            except OSError as error:
                raise StoreError(f"{path} can't be read ({error.strerror}); make it readable, or delete it") from error
            if hashlib.sha256(content).hexdigest() == match["digest"]:
                yield pq.read_table(pa.BufferReader(content))
            else:
                print(f"{path} is damaged (its name has another SHA-256): removed, its texts are embedded again")
                with plain_os_errors(path):
                    path.unlink(missing_ok=True)


def vectors_of(source: VectorSource, texts: Sequence[str], root: Path | None) -> Matrix:
    """Return the first kind of vector of a source, float32 (texts, d); only texts that `root` lacks are embedded.

    What one pass gives besides, the source's other kinds, is kept for later where `root` lacks it. None: keep nothing.
    QaembError if the model gives a vector that is not finite.
    """
    ids = [text_id(text) for text in texts]
    folders = [_VectorFolder(root, spec) for spec in source.specs] if root else []
    vectors_by_id = folders[0].read(set(ids)) if folders else {}
    new = {segment_id: text for segment_id, text in zip(ids, texts, strict=True) if segment_id not in vectors_by_id}
    todo, done = list(new.items()), len(set(ids)) - len(new)
    kept_ids = [set(vectors_by_id), *(folder.ids() for folder in folders[1:])] if new else []
    with tqdm(total=len(todo) + done, initial=done, desc=f"embed {source.name}", unit="text") as bar:
        for start in range(0, len(todo), _BLOCK):
            block = dict(todo[start : start + _BLOCK])
            made = source.vectors(list(block.values()), bar.update)
            _check_finite(made, list(block.values()))
            for folder, have, vectors in zip(folders, kept_ids, made, strict=False):
                _put_missing(folder, have, list(block), vectors)
            vectors_by_id |= zip(block, made[0], strict=True)
    return np.stack([vectors_by_id[segment_id] for segment_id in ids])


def _put_missing(folder: _VectorFolder, have: Collection[str], ids: Sequence[str], vectors: Matrix) -> None:
    missing = [number for number, segment_id in enumerate(ids) if segment_id not in have]
    if missing:
        folder.put([ids[number] for number in missing], vectors[missing])


def _check_finite(made: Sequence[Matrix], texts: Sequence[str]) -> None:
    for vectors in made:
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise QaembError(
                f"the model gives a vector that is not finite for `{texts[bad[0]][:60]}`; use dtype float32, or check "
                "the model's weights"
            )


def _to_bytes(segment_ids: Sequence[str], vectors: Matrix) -> bytes:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns = {
        "segment_id": pa.array(list(segment_ids), pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    buffer = io.BytesIO()
    # Vectors hardly shrink: no compression and no dictionary.
    pq.write_table(pa.table(columns), buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


def _content(table: pa.Table) -> tuple[list[str], Matrix]:
    """Return segment ids and vectors (texts, d) of a file."""
    column = table.column("vector").combine_chunks()
    return table.column("segment_id").to_pylist(), column.flatten().to_numpy().reshape(len(column), -1)
