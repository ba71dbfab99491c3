"""Spaces of word vectors that do not depend on context: kinds `static` and `eng1000`.

Every word of a story carries its vector, at the word's middle; a word without a vector carries zeros. Eng1000 are the
985 co-occurrence features of Huth et al. (2016, doi 10.1038/nature17637), looked up by the word in lower case, as in
github.com/csinva/interpretable-embeddings.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.features.inputs import Inputs
from qaemb.features.placing import filter_to_rows
from qaemb.features.space import Space
from qaemb.features.word_vectors import Vectors, is_hdf5, read_word_vectors

_SHOWN = 8  # words without a vector that are named
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
    vectors, n_dimensions = read_word_vectors(space.path, {key for keys in spellings.values() for key in keys})
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
    if kind == "eng1000" and not is_hdf5(path):
        raise BadInput(f"{path} is not HDF5; {_SOURCE[kind]}; for vectors in a text file take kind `static`")


def _spellings(word: str, kind: str) -> list[str]:
    """Return under what a word is looked up, best first."""
    lower = word.lower()
    return [lower] if kind == "eng1000" or lower == word else [word, lower]


def _coverage(path: Path, counts: Counter[str], of_word: Vectors) -> dict[str, float]:
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


def _rows(words: list[str], of_word: Vectors, n_dimensions: int) -> NDArray[np.float32]:
    """Return the words' vectors (words, d), zeros where there is none."""
    rows = np.zeros((len(words), n_dimensions), np.float32)
    for number, word in enumerate(words):
        if word in of_word:
            rows[number] = of_word[word]
    return rows
