"""Vectors of words from a file: only the rows of the words that are wanted, in one pass over the file.

Two layouts are read, told apart by the file's first bytes:
- text, as word2vec, GloVe and fastText publish it, plain or gzipped: a word and its numbers on each line, separated by
  single spaces; a first line of two whole numbers (how many words, how many dimensions) may precede them;
- HDF5, as english1000sm.hf5 has it: `data` (dimensions, words) and `vocab` (words) of bytes.
A word that stands in the file twice has the vector of its first row.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.errors import BadInput

Vectors = dict[str, NDArray[np.float32]]

_HDF5, _GZIP = b"\x89HDF\r\n\x1a\n", b"\x1f\x8b"
_HEADER = re.compile(rb"(\d+) (\d+)")
_TOLD = 4096  # lines between two updates of the bar
_BINARY = "binary word2vec files must be saved as text first (gensim: KeyedVectors.save_word2vec_format)"


def is_hdf5(path: Path) -> bool:
    """Return whether a file begins as HDF5 does."""
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5


def read_word_vectors(path: Path, wanted: Iterable[str]) -> tuple[Vectors, int]:
    """Return word -> vector float32 (d,) of those wanted words that the file has, and d.

    BadInput names the file, and the line or data set, where the layout is another one, the file is cut short or a
    wanted vector is not finite.
    """
    keys = {word.encode("utf-8"): word for word in wanted}
    found, n_dimensions = _read_hf5(path, set(keys)) if is_hdf5(path) else _read_text(path, set(keys))
    for key, vector in found.items():
        if not np.isfinite(vector).all():
            raise BadInput(f"{path}: the vector of `{keys[key]}` is not finite; correct the file")
    return {keys[key]: vector for key, vector in found.items()}, n_dimensions


def _read_hf5(path: Path, wanted: set[bytes]) -> tuple[dict[bytes, NDArray[np.float32]], int]:
    import h5py

    layout = "expected `data` (dimensions, words), numbers, and `vocab` (words), bytes, as english1000sm.hf5 has them"
    try:
        with h5py.File(path) as file:
            data, vocabulary = file.get("data"), file.get("vocab")
            if not isinstance(data, h5py.Dataset) or not isinstance(vocabulary, h5py.Dataset):
                raise BadInput(f"{path} holds {', '.join(file) or 'nothing'}; {layout}")
            fits = data.ndim == 2 and vocabulary.ndim == 1 and data.shape[1] == len(vocabulary)
            if not fits or data.dtype.kind != "f" or vocabulary.dtype.kind not in "SO":
                shapes = f"`data` {data.dtype} {data.shape} and `vocab` {vocabulary.dtype} {vocabulary.shape}"
                raise BadInput(f"{path} has {shapes}; {layout}")
            words: list[bytes] = [bytes(word) for word in vocabulary[:]]
            table: NDArray[Any] = data[:]  # 82 MB for english1000sm; picking columns on disk is slower
    except OSError as error:
        raise BadInput(f"{path} can't be read as HDF5 ({error}); fetch it again") from error
    found: dict[bytes, NDArray[np.float32]] = {}
    for column, word in enumerate(words):
        if word in wanted and word not in found:
            found[word] = table[:, column].astype(np.float32)
    return found, len(table)


def _read_text(path: Path, wanted: set[bytes]) -> tuple[dict[bytes, NDArray[np.float32]], int]:
    bar = tqdm(total=path.stat().st_size, desc=f"read {path.name}", unit="B", unit_scale=True)
    try:
        with path.open("rb") as raw, bar:
            zipped = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            lines = _told(gzip.GzipFile(fileobj=raw) if zipped else raw, raw, bar)
            return _parse(path, lines, wanted)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{path} can't be unpacked ({error}); fetch it again") from error


def _told(stream: Iterable[bytes], raw: IO[bytes], bar: tqdm) -> Iterator[bytes]:
    """Yield lines and move the bar to where the file has been read to."""
    for number, line in enumerate(stream):
        if number % _TOLD == 0:
            bar.update(raw.tell() - bar.n)
        yield line
    bar.update(raw.tell() - bar.n)


def _parse(path: Path, lines: Iterator[bytes], wanted: set[bytes]) -> tuple[dict[bytes, NDArray[np.float32]], int]:
    found: dict[bytes, NDArray[np.float32]] = {}
    n_expected = n_dimensions = n_rows = 0
    for number, line in enumerate(lines, start=1):
        fields = line.rstrip(b" \r\n")
        header = _HEADER.fullmatch(fields) if number == 1 else None
        if header:
            n_expected, n_dimensions = int(header[1]), int(header[2])
            continue
        n_rows += 1
        n_numbers = fields.count(b" ")
        n_dimensions = n_dimensions or n_numbers
        if n_numbers < max(1, n_dimensions):
            raise BadInput(
                f"{path}, line {number}: a word and {n_dimensions or 'its'} numbers with spaces between them are "
                f"expected, not {n_numbers} numbers; fetch the file again, or correct it; {_BINARY}"
            )
        # Some published words hold spaces themselves; only the last numbers of a line are its vector.
        word = fields.rsplit(b" ", n_dimensions)[0] if n_numbers > n_dimensions else fields[: fields.find(b" ")]
        if word in wanted and word not in found:
            found[word] = _numbers(path, number, fields[len(word) + 1 :])
    if n_rows < max(1, n_expected):
        raise BadInput(f"{path} is cut short: {n_rows} rows of {n_expected or 'at least one'}; fetch it again")
    return found, n_dimensions


def _numbers(path: Path, line: int, fields: bytes) -> NDArray[np.float32]:
    try:
        return np.array(fields.split(b" ")).astype(np.float32)
    except ValueError as error:
        raise BadInput(f"{path}, line {line}: {error}; after the word only numbers are expected; {_BINARY}") from error
