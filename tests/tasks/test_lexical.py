"""BM25 and TF-IDF against their formulas, word by word."""

import math

import numpy as np
import pytest

from qaemb.tasks.representations import _stems, bm25_scores, tf_idf

DOCUMENTS = ["Dogs chase the cat", "a cat sleeps, a cat eats", "Rain fell on roofs all night long"]


def test_words_are_cut_to_stems_and_stop_words_are_left_out():
    assert _stems(["The dogs were chasing a cat", "do you"]) == [["dog", "chase", "cat"], []]


def test_bm25_is_lucenes_formula():
    queries = ["cats and a dog", "unheard of", "the"]
    found = bm25_scores(queries, DOCUMENTS)
    words = _stems(DOCUMENTS)
    mean = np.mean([len(own) for own in words])
    for row, query in enumerate(_stems(queries)):
        for column, own in enumerate(words):
            expected = 0.0
            for word in query:
                n = sum(word in other for other in words)
                idf = math.log(1 + (len(words) - n + 0.5) / (n + 0.5)) if n else 0.0
                count = own.count(word)
                expected += idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(own) / mean))
            assert found[row, column] == pytest.approx(expected, rel=1e-5)
    assert not found[1:].any()


def test_tf_idf_has_length_one_and_takes_its_frequencies_from_the_documents():
    vectors = tf_idf(["cat", "dog cat", "zebra"], DOCUMENTS).toarray()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])
    rare, frequent = math.log(4 / 2) + 1, math.log(4 / 3) + 1  # dog stands in one of three documents, cat in two
    assert sorted(vectors[1][vectors[1] > 0]) == pytest.approx(np.array([frequent, rare]) / math.hypot(frequent, rare))


def test_texts_without_any_word_are_like_nothing():
    assert not bm25_scores(["cat", "a"], ["a", "the of"]).any()
    assert not tf_idf(["cat"], ["a", "the of"]).toarray().any()
    assert not bm25_scores(["cat"], ["", "dog"]).any()
