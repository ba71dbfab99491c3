from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from qaemb.errors import BadParameter
from qaemb.features.builders import _bag_of_words, _count_words, _most_frequent, _word_rate
from qaemb.stimuli.segments import StoryWords


def story(words: str, onset) -> StoryWords:
    onset = np.asarray(onset, dtype=float)
    return StoryWords(words.split(), onset, onset + 0.2, 3, 2.0, 1.0, [])


STORY = story("The fox saw the fox", [0.0, 0.5, 1.0, 4.0, 4.5])


def test_counting_ignores_case():
    assert _count_words([STORY, story("Fox", [0.0])]) == Counter({"the": 2, "fox": 3, "saw": 1})


def test_of_equally_frequent_words_the_first_in_the_alphabet_is_taken():
    assert _most_frequent(Counter({"b": 2, "c": 2, "a": 1, "d": 5}), 2) == ["d", "b"]
    assert _most_frequent(Counter("ab"), 10) == ["a", "b"]


def test_a_bag_counts_words_per_row_on_a_log_scale():
    bag = _bag_of_words(STORY, ["fox", "the", "river"])
    np.testing.assert_allclose(bag, np.log1p([[1, 1, 0], [0, 0, 0], [1, 1, 0]]), rtol=1e-6)


def test_rates_computed_by_hand():
    counts = Counter({"the": 3, "fox": 1})
    rate = _word_rate(STORY, counts, ["words", "letters", "frequency"])
    # p = (count + 1) / (4 + 2 + 1); "saw" was never counted and so is as rare as a word can be.
    the, fox, saw = np.log(4 / 7), np.log(2 / 7), np.log(1 / 7)
    mean = (3 * the + fox) / 4
    expected = [[3, 9, (the + fox + saw) / 3], [0, 0, mean], [2, 6, (the + fox) / 2]]
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


def test_columns_come_in_the_order_asked_for():
    both = _word_rate(STORY, Counter("ab"), ["letters", "words"])
    assert both.tolist() == [[9, 3], [0, 0], [6, 2]]


def test_an_unknown_column_is_named():
    with pytest.raises(BadParameter, match=r"no column `phonemes` in word_rate; there are: words, letters, frequency"):
        _word_rate(STORY, Counter("ab"), ["words", "phonemes"])
