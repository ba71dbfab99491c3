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
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers.answerer import Answers, Mask
from qaemb.answers.blobs import Blobs, open_blobs
from qaemb.answers.blocks import (
    BLOCK_FILE,
    UNKNOWN_TIME,
    BlockFile,
    Provenance,
    answered_at,
    block_bytes,
    block_name,
    parse_block,
)
from qaemb.errors import BadInput, StoreError
from qaemb.identity import json_id

_KEY = re.compile(r"[0-9a-f]{20}")
_SPEC = "spec.json"
_DAMAGED = "damaged"

_Places = NDArray[np.int64]


def store_keys(root: str | Path) -> list[str]:
    """Return the keys of all answerers that have a folder in the store, sorted."""
    return [name for name in open_blobs(root).folders() if _KEY.fullmatch(name)]


@dataclass
class Cells:
    """What a store has of a grid of segments and questions, and which block each cell is from.

    `answers`: NaN where the store has nothing. `number` int32 (segments, questions): the place in `blocks`, -1: none.
    `blocks`: name and provenance. `files`: all files that were read, also those that share no cell with the grid.
    """

    answers: Answers
    number: NDArray[np.int32]
    blocks: list[tuple[str, Provenance | None]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    @staticmethod
    def empty(shape: tuple[int, int]) -> Cells:
        """Return the cells of a store without blocks."""
        margin, mass = (np.full(shape, np.nan, np.float32) for _ in range(2))
        return Cells(Answers(margin, mass), np.full(shape, -1, np.int32))

    @property
    def missing(self) -> Mask:
        """Which cells the store lacks."""
        return np.asarray(self.number < 0)

    def add(self, block: BlockFile, target: _Places, source: _Places, columns: Sequence[tuple[str, int]]) -> None:
        """Put a block's rows `source` into the grid's rows `target`; of two blocks, the one named first counts.

        `columns`: pairs of a question's id and its column in the grid.
        """
        place = target[:, None], np.array([column for _, column in columns])
        yields = np.array([block.name < name for name, _ in self.blocks] + [True])  # the last one: no block, number -1
        new = yields[self.number[place]]
        if not new.any():
            return
        answers = block.answers([name for name, _ in columns])
        for values, fresh in (
            (self.answers.margin, answers.margin[source]),
            (self.answers.mass, answers.mass[source]),
            (self.number, len(self.blocks)),
        ):
            values[place] = fresh if new.all() else np.where(new, fresh, values[place])
        self.blocks.append((block.name, block.provenance))

    def answered(self, mask: Mask | None = None) -> NDArray[np.datetime64]:
        """Return when each segment's row was complete, UTC, datetime64[s]: the latest time of the blocks of its cells.

        `mask` (segments, questions) says which cells count, None: all. UNKNOWN_TIME where no block says a time.
        StoreError names a block whose time can't be read.
        """
        times = np.full(len(self.blocks) + 1, UNKNOWN_TIME)  # the last one: no block, number -1
        number = self.number if mask is None else np.where(mask, self.number, -1)
        for place in np.unique(number[number >= 0]):
            times[place] = answered_at(*self.blocks[place])
        return np.asarray(np.maximum.reduce(times[number], axis=1, initial=UNKNOWN_TIME))


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

    def present(self) -> set[str]:
        """Return what is in the blocks that are there: their names as `block_name` makes them."""
        return {match["block"] for match in map(BLOCK_FILE.fullmatch, self.files()) if match}

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
        content = block_bytes(segment_ids, question_ids, answers, provenance)
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

    def cells(self, segment_ids: Sequence[str], question_ids: Sequence[str], cells: Cells | None = None) -> Cells:
        """Return what the store has of a grid; StoreError at a damaged block.

        `cells`, an earlier result for the same grid, is brought up to date: only blocks that came since are read.
        """
        if cells is None:
            cells = Cells.empty((len(segment_ids), len(question_ids)))
        for block, target, source, columns in self._overlaps(segment_ids, question_ids, cells.files):
            cells.add(block, target, source, columns)
        return cells

    def read(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Answers:
        """Return what the store has, (segments, questions), NaN where it has nothing; errors as in `cells`."""
        return self.cells(segment_ids, question_ids).answers

    def known(self, segment_ids: Sequence[str], question_ids: Sequence[str]) -> Mask:
        """Return which cells (segments, questions) the store has; decodes no answer. Errors as in `cells`."""
        known = np.zeros((len(segment_ids), len(question_ids)), np.bool_)
        for _, target, _, columns in self._overlaps(segment_ids, question_ids, set()):
            known[target[:, None], [column for _, column in columns]] = True
        return known

    def blocks(self, skip: Collection[str] = ()) -> Iterator[BlockFile]:
        """Yield the blocks that count, by name, but those in `skip`; StoreError at a damaged or foreign file."""
        names = [name for name in self._counted() if name not in skip]
        for name, content in self.blobs.read(self.key, names):
            if content is not None:  # else `gc` of another process took it
                problem, block = parse_block(name, content)
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
                yield name, parse_block(name, content)[0]

    def set_aside(self, name: str) -> str:
        """Move a file to the store's folder `damaged`, which nothing reads, and return where it is then."""
        copy = f"{self.key}-{name}"
        for _, content in self.blobs.read(self.key, [name]):
            self.blobs.publish(_DAMAGED, copy, content or b"")
        self.blobs.remove(self.key, name)
        return self.blobs.address(_DAMAGED, copy)

    def duplicates(self) -> list[str]:
        """Return the files of blocks that do not count, as another with the same ids has a smaller digest."""
        return sorted(set(filter(BLOCK_FILE.fullmatch, self.files())) - set(self._counted()))

    def _counted(self) -> list[str]:
        """Return the files of blocks that count: the first of a name has the smallest digest."""
        first: dict[str, str] = {}
        for name in self.files():
            match = BLOCK_FILE.fullmatch(name)
            if match:
                first.setdefault(match["block"], name)
            elif name != _SPEC:
                raise StoreError(
                    f"{self.blobs.address(self.key, name)} does not have the name of a block; move it out of the store"
                )
        return list(first.values())

    def _overlaps(self, segment_ids: Sequence[str], question_ids: Sequence[str], files: set[str]) -> Iterator[_Overlap]:
        """Yield each block that shares cells with a grid: the block, the grid's rows, the block's rows, the columns.

        The columns are pairs of a question's id and its column in the grid. Blocks of `files` are passed over; those
        that are read are added to it.
        """
        rows, columns = pd.Index(segment_ids), {name: number for number, name in enumerate(question_ids)}
        for block in self.blocks(skip=files):
            files.add(block.name)
            shared = [(name, columns[name]) for name in block.question_ids if name in columns]
            target = rows.get_indexer(pd.Index(block.segment_ids)) if shared else np.zeros(0, np.int64)
            source = np.flatnonzero(target >= 0)
            if len(source):
                yield block, target[source], source, shared


_Overlap = tuple[BlockFile, _Places, _Places, list[tuple[str, int]]]


def _spec(content: bytes, key: str) -> dict[str, Any] | None:
    """Return the spec that a file holds, None if it is not that of the key."""
    try:
        spec = json.loads(content)
    except ValueError:
        return None
    return spec if isinstance(spec, dict) and json_id(spec) == key else None
