"""Spaces of word vectors that do not depend on context (kinds `static` and `eng1000`), and the files they come from.

Every word of a story carries its vector, at the word's middle; a word without a vector carries zeros. Eng1000 are the
985 co-occurrence features of Huth et al. (2016, doi 10.1038/nature17637), looked up by the word in lower case, as in
github.com/csinva/interpretable-embeddings.

One pass over the file reads the rows of the stories' words. Two layouts are read, told apart by the first bytes:
- text, as word2vec, GloVe and fastText publish it, plain or gzipped: a word and its numbers on each line, separated by
  single spaces; a first line of two whole numbers (how many words, how many dimensions) may precede them;
- HDF5, as english1000sm.hf5 has it: `data` (dimensions, words) and `vocab` (words) of bytes.
A word that stands in the file twice has the vector of its first row.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.arrays import Floats32
from qaemb.errors import BadInput
from qaemb.features.inputs import Inputs
from qaemb.features.placing import filter_to_rows
from qaemb.features.space import Space

_Vectors = dict[str, Floats32]

_HDF5, _GZIP = b"\x89HDF\r\n\x1a\n", b"\x1f\x8b"
_HEADER = re.compile(rb"(\d+) (\d+)")
_SHOWN = 8  # words without a vector that are named
_LINES = 4096  # lines between two updates of the bar
_BINARY = "binary word2vec files must be saved as text first (gensim: KeyedVectors.save_word2vec_format)"


def _is_hdf5(path: Path) -> bool:
    """Return whether a file begins as HDF5 does."""
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5


def _read_word_vectors(path: Path, words: Iterable[str]) -> tuple[_Vectors, int]:
    """Return word -> vector float32 (d,) of those words that the file has, and d.

    BadInput names the file, and the line or data set, where the layout is another one, the file is cut short or a
    vector is not finite.
    """
    keys = {word.encode("utf-8"): word for word in words}
    vectors, n_dimensions = _read_hf5(path, set(keys)) if _is_hdf5(path) else _read_text(path, set(keys))
    for key, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise BadInput(f"{path}: the vector of `{keys[key]}` is not finite; correct the file")
    return {keys[key]: vector for key, vector in vectors.items()}, n_dimensions


def _read_hf5(path: Path, keys: set[bytes]) -> tuple[dict[bytes, Floats32], int]:
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
    vectors: dict[bytes, Floats32] = {}
    for column, word in enumerate(words):
        if word in keys and word not in vectors:
            vectors[word] = table[:, column].astype(np.float32)
    return vectors, len(table)


def _read_text(path: Path, keys: set[bytes]) -> tuple[dict[bytes, Floats32], int]:
    bar = tqdm(total=path.stat().st_size, desc=f"read {path.name}", unit="B", unit_scale=True)
    try:
        with path.open("rb") as raw, bar:
            zipped = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            lines = _with_progress(gzip.GzipFile(fileobj=raw) if zipped else raw, raw, bar)
            return _parse(path, lines, keys)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{path} can't be unpacked ({error}); fetch it again") from error


def _with_progress(stream: Iterable[bytes], raw: IO[bytes], bar: tqdm[Any]) -> Iterator[bytes]:
    """Yield lines and move the bar to where the file has been read to."""
    for number, line in enumerate(stream):
        if number % _LINES == 0:
            bar.update(raw.tell() - bar.n)
        yield line
    bar.update(raw.tell() - bar.n)


def _parse(path: Path, lines: Iterator[bytes], keys: set[bytes]) -> tuple[dict[bytes, Floats32], int]:
    vectors: dict[bytes, Floats32] = {}
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
        if word in keys and word not in vectors:
            vectors[word] = _numbers(path, number, fields[len(word) + 1 :])
    if n_rows < max(1, n_expected):
        raise BadInput(f"{path} is cut short: {n_rows} rows of {n_expected or 'at least one'}; fetch it again")
    return vectors, n_dimensions


def _numbers(path: Path, line: int, fields: bytes) -> Floats32:
    try:
        return np.array(fields.split(b" ")).astype(np.float32)
    except ValueError as error:
        raise BadInput(f"{path}, line {line}: {error}; after the word only numbers are expected; {_BINARY}") from error


_SOURCE = {
    "eng1000": "english1000sm.hf5 is in OpenNeuro ds003020: `datalad get derivative/english1000sm.hf5`",
    "static": "give the file of word vectors, as text (word2vec, GloVe, fastText) or HDF5; docs/features.md",
}


def build_static(inputs: Inputs) -> Space:
    """Return the words' vectors of the file `path`, placed on TRs; columns are e000, e001, ...

    `figures` of the space: the share of the stories' words that have a vector (`words_found`), and of the different
    ones (`different_words_found`). BadInput: no such file, another layout, or no word of the stories in it.
    """
    space, stories = inputs.space, dict(inputs.stories())
    assert space.path is not None
    _check_file(space.path, space.kind)
    counts = Counter(word for story in stories.values() for word in story.words)
    spellings = {word: _spellings(word, space.kind) for word in counts}
    vectors, n_dimensions = _read_word_vectors(space.path, {key for keys in spellings.values() for key in keys})
    of_word = {word: vectors[key] for word, keys in spellings.items() for key in reversed(keys) if key in vectors}
    figures = _coverage(space.path, counts, of_word)
    values = {}
    for name, story in stories.items():
        rows = _rows(story.words, of_word, n_dimensions)
        values[name] = filter_to_rows(story, story.middle_s, rows, inputs.lobes)
    return Space([f"e{i:03d}" for i in range(n_dimensions)], values, figures)


def _check_file(path: Path, kind: str) -> None:
    if not path.is_file():
        link = " (a link to a file that was never fetched)" if path.is_symlink() else ""
        raise BadInput(f"{path} does not exist{link}; {_SOURCE[kind]}")
    if kind == "eng1000" and not _is_hdf5(path):
        raise BadInput(f"{path} is not HDF5; {_SOURCE[kind]}; for vectors in a text file take kind `static`")


def _spellings(word: str, kind: str) -> list[str]:
    """Return under what a word is looked up, best first."""
    lower = word.lower()
    return [lower] if kind == "eng1000" or lower == word else [word, lower]


def _coverage(path: Path, counts: Counter[str], of_word: _Vectors) -> dict[str, float]:
    """Return the shares of words with a vector, and print them; BadInput if there are none."""
    if not of_word:
        raise BadInput(f"{path} has a vector for none of the {len(counts)} different words; is it of another language?")
    n_words, n_found = counts.total(), sum(counts[word] for word in of_word)
    figures = {"words_found": n_found / n_words, "different_words_found": len(of_word) / len(counts)}
    print(
        f"{path.name}: vectors for {figures['words_found']:.1%} of {n_words} words, "
        f"for {figures['different_words_found']:.1%} of {len(counts)} different ones"
    )
    without = [word for word, _ in counts.most_common() if word not in of_word]
    if without:
        print(f"  the most frequent without: {', '.join(without[:_SHOWN])}")
    return figures


def _rows(words: list[str], of_word: _Vectors, n_dimensions: int) -> Floats32:
    """Return the words' vectors (words, d), zeros where there is none."""
    rows = np.zeros((len(words), n_dimensions), np.float32)
    for number, word in enumerate(words):
        if word in of_word:
            rows[number] = of_word[word]
    return rows
