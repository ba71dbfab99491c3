"""Files of word vectors: every layout that is read, and what a user may hand over in its place."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.features.static import _read_word_vectors

TABLE = {"the": [0.5, -1.25, 2.0], "über": [1e-3, 0.0, -7.5], "fox": [1.0, 2.0, 3.0], "don't": [4.0, 5.0, 6.0]}


def as_text(table=TABLE, end: str = "\n") -> bytes:
    return "".join(f"{word} {' '.join(map(repr, values))}{end}" for word, values in table.items()).encode()


def as_hf5(path: Path, words=None, data=None, names=("data", "vocab")) -> Path:
    words = [word.encode() for word in TABLE] if words is None else words
    with h5py.File(path, "w") as file:
        file[names[0]] = np.array(list(TABLE.values())).T if data is None else data
        file[names[1]] = words
    return path


def check(path: Path, wanted=("fox", "über", "absent")) -> None:
    found, n_dimensions = _read_word_vectors(path, wanted)
    assert n_dimensions == 3
    assert set(found) == {"fox", "über"}
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, np.array(TABLE[word], np.float32))


@pytest.mark.parametrize("header", [b"", b"4 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_with_and_without_header_line_ends_and_gzip(tmp_path, header, end, pack):
    path = tmp_path / "vectors.txt"
    path.write_bytes(pack(header + as_text(end=end)))
    check(path)


def test_text_is_what_gensim_would_write(tmp_path):
    """word2vec's own text: the number of words and dimensions, then rows, without a line end at the last one."""
    (tmp_path / "v.vec").write_bytes(b"4 3\n" + as_text().rstrip(b"\n"))
    check(tmp_path / "v.vec")


def test_published_words_that_hold_spaces_do_not_shift_the_numbers(tmp_path):
    (tmp_path / "v.txt").write_bytes(as_text({"the": TABLE["the"], "fox at": [9.0] * 3, ". . .": [9.0] * 3, **TABLE}))
    check(tmp_path / "v.txt")


def test_the_first_of_two_rows_counts(tmp_path):
    (tmp_path / "v.txt").write_bytes(as_text() + b"fox 9 9 9\n")
    check(tmp_path / "v.txt")
    as_hf5(tmp_path / "v.hf5", [b"the", b"fox", b"fox"], np.array([[0.0, 1, 9], [0, 2, 9], [0, 3, 9]]))
    np.testing.assert_array_equal(_read_word_vectors(tmp_path / "v.hf5", ["fox"])[0]["fox"], [1, 2, 3])


def test_a_word_of_figures_is_no_header(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"1984 1 2 3\nfox 1 2 3\n")
    assert set(_read_word_vectors(tmp_path / "v.txt", ["1984", "fox"])[0]) == {"1984", "fox"}


@pytest.mark.parametrize("kind", ["S", "O"])
def test_hdf5_with_fixed_and_with_variable_bytes(tmp_path, kind):
    words = [word.encode() for word in TABLE]
    made = np.array(words) if kind == "S" else np.array(words, dtype=h5py.special_dtype(vlen=bytes))
    check(as_hf5(tmp_path / "v.hf5", made))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut short: 0 rows of at least one"),
        (b"5 3\n" + as_text(), "cut short: 4 rows of 5"),
        (as_text()[:-8], r"line 4: a word and 3 numbers .* are expected, not 1"),
        (as_text() + b"\n", r"line 5: a word and 3 numbers .* are expected, not 0"),
        (b"fox\t1\t2\t3\n", r"line 1: a word and its numbers with spaces between them are expected"),
        (b"fox 1 two 3\n", "line 1: .*'two'.*only numbers are expected"),
        (b"fox 1 nan 3\n", "the vector of `fox` is not finite"),
        (
            b"2 3\nfox \x00\x00\x80?\x00\x00\x00@\x00\x00@@\nthe \x00\x00\x80?\x00\x00\x00@\x00\x00@@",
            "saved as text first",
        ),
        (gzip.compress(as_text() * 100)[:-40], "can't be unpacked"),
    ],
    ids=["empty", "rows", "numbers", "blank", "tabs", "letters", "nan", "binary", "gzip"],
)
def test_wrong_text_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        _read_word_vectors(tmp_path / "v.txt", ["fox"])
    assert str(tmp_path / "v.txt") in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"data": np.ones((4, 3))},
            r"`data` float64 \(4, 3\) and `vocab` \S+ \(4,\); expected `data` \(dimensions, words\)",
        ),
        ({"data": np.ones((3, 4), int)}, "`data` int64"),
        ({"words": np.arange(4)}, "`vocab` int64"),
        ({"names": ("vectors", "words")}, "holds vectors, words; expected"),
        ({"data": np.full((3, 4), np.inf)}, "the vector of `fox` is not finite"),
    ],
)
def test_another_layout_of_hdf5_is_refused(tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        _read_word_vectors(as_hf5(tmp_path / "v.hf5", **change), ["fox"])


def test_a_truncated_hdf5_file_is_refused(tmp_path):
    path = as_hf5(tmp_path / "v.hf5")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"v\.hf5 can't be read as HDF5"):
        _read_word_vectors(path, ["fox"])
