"""The answer store: immutable Parquet blocks in a folder or an object store, so that an answer is bought once.

    <store>/<answerer key>/<text block>-<question block>-<sha256 of the file>.parquet
    <store>/<answerer key>/spec.json

A block holds margin and mass of some segments under some questions, and how they were made; its name is the hash of
their ids and of its own bytes. The listing is the index. A block appears whole or not at all (`blobs.py`), it is never
changed, and its digest is checked before anything parses it. Several processes may write: of two blocks with one text
and question block, the one with the smaller digest counts; of two blocks that overlap, the one whose name sorts first.
What this accepts: two processes may answer the same block twice, and a killed one may leave a hidden temporary file,
which is never read.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qaemb.answers.answerer import Answers
from qaemb.answers.blobs import Blobs, open_blobs
from qaemb.answers.provenance import Provenance
from qaemb.errors import BadInput, StoreError
from qaemb.identity import json_id

_NAME = re.compile(r"(?P<block>[0-9a-f]{20}-[0-9a-f]{20})-(?P<digest>[0-9a-f]{64})\.parquet")
_KEY = re.compile(r"[0-9a-f]{20}")
_SEGMENT = "segment_id"
_SPEC = "spec.json"
_DAMAGED = "damaged"
_METADATA = b"qaemb"  # of the Parquet schema: where a block's provenance is

Mask = NDArray[np.bool_]


def block_name(segment_ids: Sequence[str], question_ids: Sequence[str]) -> str:
    """Return the part of a block's name that says what is in it: hashes of its segment ids and its question ids."""
    return f"{json_id(list(segment_ids))}-{json_id(list(question_ids))}"


def store_keys(root: str | Path) -> list[str]:
    """Return the keys of all answerers that have a folder in the store, sorted."""
    return [name for name in open_blobs(root).folders() if _KEY.fullmatch(name)]


@dataclass(frozen=True)
class BlockFile:
    """One block of the store, its bytes checked; columns are decoded when they are asked for."""

    name: str
    file: pq.ParquetFile

    @cached_property
    def segment_ids(self) -> list[str]:
        """The segments, in the rows' order."""
        return list(self._read([_SEGMENT]).column(_SEGMENT).to_pylist())

    @cached_property
    def question_ids(self) -> list[str]:
        """The questions, in the columns' order."""
        return [name.removeprefix("margin:") for name in self.file.schema_arrow.names if name.startswith("margin:")]

    @property
    def provenance(self) -> Provenance | None:
        """How the answers were made; None for a block written without."""
        metadata = (self.file.schema_arrow.metadata or {}).get(_METADATA)
        return Provenance(**json.loads(metadata)) if metadata else None

    def answers(self, question_ids: Sequence[str]) -> Answers:
        """Return margin and mass (rows, questions) of some of its questions."""
        names = [[f"{kind}:{name}" for name in question_ids] for kind in ("margin", "mass")]
        table = self._read([*names[0], *names[1]])
        found = np.empty((2, table.num_rows, len(question_ids)), np.float32)
        for values, own in zip(found, names, strict=True):
            for column, name in enumerate(own):
                values[:, column] = table.column(name).to_numpy()
        return Answers(found[0], found[1])

    def _read(self, names: list[str]) -> pa.Table:
        # In this thread: a block is small, and a process that ended while Arrow's threads did was once seen to abort.
        return self.file.read(names, use_threads=False)


@dataclass(frozen=True)
class Store:
    """One answerer's blocks, under `root`: a folder, or a URL that fsspec knows."""

    root: str | Path
    key: str

    @cached_property
    def blobs(self) -> Blobs:
        """The files of the whole store."""
        return open_blobs(self.root)

    @property
    def address(self) -> str:
        """Where this answerer's blocks are."""
        return self.blobs.address(self.key)

    @property
    def folder(self) -> Path:
        """Where this answerer's blocks are, in a local store."""
        return Path(self.address)

    def has(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> bool:
        """Return whether a block of exactly these ids is there."""
        return block_name(segment_ids, question_ids) in self.present()

    def present(self) -> set[str]:
        """Return what is in the blocks that are there: their names as `block_name` makes them."""
        return {match["block"] for match in map(_NAME.fullmatch, self.files()) if match}

    def put(
        self,
        segment_ids: Sequence[str],
        question_ids: Sequence[str],
        answers: Answers,
        provenance: Provenance | None = None,
    ) -> str:
        """Publish a block and return its file's name; StoreError if it can't be written, with nothing written.

        BadInput if the shapes disagree or a value is not finite.
        """
        shape = (len(segment_ids), len(question_ids))
        for values in (answers.margin, answers.mass):
            if values.shape != shape or not np.isfinite(values).all():
                raise BadInput(f"a block of shape {shape} needs finite answers of that shape, not {values.shape}")
        content = _to_bytes(segment_ids, question_ids, answers, provenance)
        name = f"{block_name(segment_ids, question_ids)}-{hashlib.sha256(content).hexdigest()}.parquet"
        self.blobs.publish(self.key, name, content)
        return name

    def describe(self, spec: Mapping[str, Any]) -> None:
        """Write what is in the key beside the blocks, if it is not there yet; BadInput if it is another key's."""
        if json_id(spec) != self.key:
            raise BadInput(f"the spec is that of key {json_id(spec)}, not of {self.key}")
        if _SPEC not in self.files():
            text = json.dumps(spec, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
            self.blobs.publish(self.key, _SPEC, text.encode("utf-8"))

    def spec(self) -> dict[str, Any] | None:
        """Return what is in the key, as it stands beside the blocks; None where it does not, or not rightly."""
        ((_, content),) = self.blobs.read(self.key, [_SPEC])
        return _spec(content or b"", self.key)

    def read(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Answers:
        """Return what the store has, (segments, questions), NaN where it has nothing; StoreError at a damaged block."""
        shape = (len(segment_ids), len(question_ids))
        found = Answers(np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32))
        for block, target, source, columns in self._overlaps(segment_ids, question_ids):
            own = block.answers([name for name, _ in columns])
            place = target[:, None], np.array([column for _, column in columns])
            empty = np.isnan(found.margin[place])
            for values, new in ((found.margin, own.margin[source]), (found.mass, own.mass[source])):
                values[place] = new if empty.all() else np.where(empty, new, values[place])
        return found

    def known(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Mask:
        """Return which cells (segments, questions) the store has; quicker than reading them. Errors as in `read`."""
        known = np.zeros((len(segment_ids), len(question_ids)), np.bool_)
        for _, target, _, columns in self._overlaps(segment_ids, question_ids):
            known[target[:, None], [column for _, column in columns]] = True
        return known

    def sources(
        self, segment_ids: Sequence[str], question_ids: Sequence[str]
    ) -> tuple[NDArray[np.int32], list[BlockFile]]:
        """Return for each cell the number of the block that its answer is from, -1 where none, and these blocks."""
        number = np.full((len(segment_ids), len(question_ids)), -1, np.int32)
        blocks: list[BlockFile] = []
        for block, target, _, columns in self._overlaps(segment_ids, question_ids):
            own = target[:, None], np.array([column for _, column in columns])
            if (number[own] < 0).any():
                number[own] = np.where(number[own] < 0, len(blocks), number[own])
                blocks.append(block)
        return number, blocks

    def blocks(self) -> Iterator[BlockFile]:
        """Yield the blocks that count, by name; StoreError at a damaged one or at a foreign file."""
        names = self._counted()
        for name, content in self.blobs.read(self.key, names):
            if content is not None:  # else `gc` of another process took it
                problem, block = _parsed(name, content)
                if block is None:
                    raise StoreError(
                        f"block {self.blobs.address(self.key, name)} {problem}; `qaemb answers repair` sets it aside "
                        "and answers its cells anew, and only these"
                    )
                yield block

    def files(self) -> list[str]:
        """Return the names of all files, sorted."""
        return self.blobs.names(self.key)

    def check(self) -> Iterator[tuple[str, str | None]]:
        """Yield every file and what is wrong with it, None where it is sound; also those that do not count."""
        for name, content in self.blobs.read(self.key, self.files()):
            if content is None:
                continue
            if name == _SPEC:
                yield name, None if _spec(content, self.key) else "is not the spec of this key"
            else:
                yield name, _parsed(name, content)[0]

    def set_aside(self, name: str) -> str:
        """Move a file to the store's folder `damaged`, which nothing reads, and return where it is then."""
        own = f"{self.key}-{name}"
        for _, content in self.blobs.read(self.key, [name]):
            self.blobs.publish(_DAMAGED, own, content or b"")
        self.blobs.remove(self.key, name)
        return self.blobs.address(_DAMAGED, own)

    def duplicates(self) -> list[str]:
        """Return the files of blocks that do not count, as another with the same ids has a smaller digest."""
        return sorted(set(filter(_NAME.fullmatch, self.files())) - set(self._counted()))

    def _counted(self) -> list[str]:
        """Return the files of blocks that count: the first of a name has the smallest digest."""
        first: dict[str, str] = {}
        for name in self.files():
            match = _NAME.fullmatch(name)
            if match:
                first.setdefault(match["block"], name)
            elif name != _SPEC:
                raise StoreError(
                    f"{self.blobs.address(self.key, name)} does not have the name of a block; move it out of the store"
                )
        return list(first.values())

    def _overlaps(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Iterator[_Overlap]:
        """Yield each block with wanted cells, wanted rows, its own rows, and (question id, wanted column) of them."""
        rows, columns = pd.Index(segment_ids), {name: number for number, name in enumerate(question_ids)}
        for block in self.blocks():
            own = [(name, columns[name]) for name in block.question_ids if name in columns]
            target = rows.get_indexer(pd.Index(block.segment_ids)) if own else np.zeros(0, np.int64)
            source = np.flatnonzero(target >= 0)
            if len(source):
                yield block, target[source], source, own


_Overlap = tuple[BlockFile, NDArray[np.int64], NDArray[np.int64], list[tuple[str, int]]]


def covered(block: BlockFile, segment_ids: Collection[str], question_ids: Collection[str]) -> bool:
    """Return whether a block has a cell of these segments and questions."""
    return any(name in question_ids for name in block.question_ids) and any(
        name in segment_ids for name in block.segment_ids
    )


def _to_bytes(
    segment_ids: Sequence[str], question_ids: Sequence[str], answers: Answers, provenance: Provenance | None
) -> bytes:
    columns: dict[str, pa.Array] = {_SEGMENT: pa.array(list(segment_ids), pa.string())}
    for kind, values in (("margin", answers.margin), ("mass", answers.mass)):
        for number, name in enumerate(question_ids):
            columns[f"{kind}:{name}"] = pa.array(values[:, number], pa.float32())
    table = pa.table(columns)
    if provenance is not None:
        table = table.replace_schema_metadata({_METADATA: json.dumps(asdict(provenance), sort_keys=True).encode()})
    buffer = io.BytesIO()
    # Margins and masses do not repeat, so no dictionary; their bytes by place do, so that they shrink by a quarter.
    numbers = [name for name in columns if name != _SEGMENT]
    pq.write_table(
        table,
        buffer,
        use_dictionary=False,
        use_byte_stream_split=numbers,
        compression="lz4",
        write_statistics=False,
    )
    return buffer.getvalue()


def _spec(content: bytes, key: str) -> dict[str, Any] | None:
    """Return the spec that a file holds, None if it is not that of the key."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) and json_id(found) == key else None


def _parsed(name: str, content: bytes) -> tuple[str | None, BlockFile | None]:
    """Return the block whose bytes are those that were published, or what is wrong with them."""
    match = _NAME.fullmatch(name)
    if match is None:
        return "does not have the name of a block", None
    if hashlib.sha256(content).hexdigest() != match["digest"]:
        return "is damaged (its SHA-256 is not the one in its name)", None
    try:
        block = BlockFile(name, pq.ParquetFile(pa.BufferReader(content), pre_buffer=False))
        ids = block_name(block.segment_ids, block.question_ids)
    except (pa.ArrowInvalid, KeyError) as error:
        return f"is not a Parquet file of answers ({error})", None
    if ids != match["block"]:
        return "holds other segments or questions than its name says", None
    return None, block
