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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers.answerer import Answers
from qaemb.answers.blobs import Blobs, open_blobs
from qaemb.answers.blocks import BLOCK_FILE, UNKNOWN_TIME, BlockFile, Provenance, block_bytes, block_name, parse_block
from qaemb.errors import BadInput, StoreError
from qaemb.identity import json_id

_KEY = re.compile(r"[0-9a-f]{20}")
_SPEC = "spec.json"
_DAMAGED = "damaged"

Mask = NDArray[np.bool_]


def store_keys(root: str | Path) -> list[str]:
    """Return the keys of all answerers that have a folder in the store, sorted."""
    return [name for name in open_blobs(root).folders() if _KEY.fullmatch(name)]


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

    def answered(
        self, segment_ids: Sequence[str], question_ids: Sequence[str], asked: Mask | None = None
    ) -> NDArray[np.datetime64]:
        """Return when each segment's row was complete, UTC, datetime64[s]: the latest time of the blocks of its cells.

        `asked` (segments, questions) says which cells count, None: all. UNKNOWN_TIME where no block says a time. Errors
        as in `read`.
        """
        latest = np.full(len(segment_ids), UNKNOWN_TIME)
        open_cells = np.ones((len(segment_ids), len(question_ids)), np.bool_) if asked is None else asked.copy()
        for block, target, _, columns in self._overlaps(segment_ids, question_ids):
            own = target[:, None], np.array([column for _, column in columns])
            rows = target[open_cells[own].any(axis=1)]  # of blocks that overlap the first counts
            latest[rows] = np.maximum(latest[rows], block.answered_at)
            open_cells[own] = False
        return latest

    def blocks(self) -> Iterator[BlockFile]:
        """Yield the blocks that count, by name; StoreError at a damaged one or at a foreign file."""
        names = self._counted()
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
        own = f"{self.key}-{name}"
        for _, content in self.blobs.read(self.key, [name]):
            self.blobs.publish(_DAMAGED, own, content or b"")
        self.blobs.remove(self.key, name)
        return self.blobs.address(_DAMAGED, own)

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


def _spec(content: bytes, key: str) -> dict[str, Any] | None:
    """Return the spec that a file holds, None if it is not that of the key."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) and json_id(found) == key else None
