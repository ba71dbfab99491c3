"""Kinds `static` and `eng1000`: words carry their vectors at their middle, and what share of them has one is said."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.features.builders import BUILDERS
from qaemb.files import write_table

VECTORS = {"the": [1.0, 0.5], "red": [-2.0, 3.0], "boat": [0.25, 4.0], "Boat": [5.0, 6.0], "Fox": [7.0, 7.0]}


@pytest.fixture
def text_file(tmp_path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {a} {b}\n" for word, (a, b) in VECTORS.items()))
    return path


@pytest.fixture
def hf5_file(tmp_path) -> Path:
    path = tmp_path / "english1000sm.hf5"
    with h5py.File(path, "w") as file:
        file["data"] = np.array(list(VECTORS.values())).T
        file["vocab"] = np.array([word.encode() for word in VECTORS])
    return path


def build(source, kind: str, path: Path):
    settings = source.inputs("word_rate").space.model_copy(update={"kind": kind, "path": path})
    return BUILDERS[kind](source.inputs("word_rate").__class__(settings, 3, source.dataset))


def expected(source, story: str, words: list[str]) -> np.ndarray:
    return source.lanczos(story) @ np.array([VECTORS.get(word, [0, 0]) for word in words])


@pytest.mark.parametrize("kind", ["static", "eng1000"])
def test_every_word_carries_its_vector_at_its_middle(source, hf5_file, kind, capsys):
    space = build(source, kind, hf5_file)
    assert space.names == ["e000", "e001"]
    for story, words in source.words.items():
        np.testing.assert_allclose(space.values[story], expected(source, story, words), atol=1e-5)
    # 17 words, of them 4 the, 2 red, 2 boat; 11 different ones
    assert space.figures == {"words_found": 8 / 17, "different_words_found": 3 / 11}
    out = capsys.readouterr().out
    assert "english1000sm.hf5: vectors for 47.1% of 17 words, for 27.3% of 11 different ones" in out
    assert "the most frequent without: fox" in out


def capitals(source) -> dict[str, list[str]]:
    """Write some of the words in capitals; return the words by story."""
    table = pd.read_parquet(source.dataset / "words.parquet")
    table["word"] = [{"fox": "Fox", "boat": "Boat", "red": "RED"}.get(word, word) for word in table["word"]]
    write_table(source.dataset / "words.parquet", table)
    return {str(story): own["word"].tolist() for story, own in table.groupby("story")}


def test_static_looks_a_word_up_as_it_is_and_then_in_lower_case(source, text_file):
    words = capitals(source)
    space = build(source, "static", text_file)
    for story, own in words.items():
        found = [word if word in VECTORS else word.lower() for word in own]
        np.testing.assert_allclose(space.values[story], expected(source, story, found), atol=1e-5)


def test_eng1000_looks_a_word_up_in_lower_case_alone(source, hf5_file):
    words = capitals(source)
    space = build(source, "eng1000", hf5_file)
    for story, own in words.items():
        lower = [word.lower() for word in own]  # `Fox` stands in the file, `fox` does not
        np.testing.assert_allclose(space.values[story], expected(source, story, lower), atol=1e-5)


def test_a_missing_file_says_where_to_get_it(source, tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.hf5 does not exist; .*datalad get derivative/english1000sm\.hf5"):
        build(source, "eng1000", tmp_path / "nowhere.hf5")
    with pytest.raises(BadInput, match=r"nowhere\.txt does not exist; give the file of word vectors"):
        build(source, "static", tmp_path / "nowhere.txt")
    (tmp_path / "link.hf5").symlink_to(tmp_path / "annex")
    with pytest.raises(BadInput, match="a link to a file that was never fetched"):
        build(source, "eng1000", tmp_path / "link.hf5")


def test_eng1000_in_a_text_file_names_the_other_kind(source, text_file):
    with pytest.raises(BadInput, match=r"vectors\.txt is not HDF5.*for vectors in a text file take kind `static`"):
        build(source, "eng1000", text_file)


def test_a_file_with_none_of_the_words_is_refused(source, tmp_path):
    (tmp_path / "v.txt").write_text("hund 1 2\nkatze 3 4\n")
    with pytest.raises(BadInput, match="for none of the 11 different words; is it of another language"):
        build(source, "static", tmp_path / "v.txt")
