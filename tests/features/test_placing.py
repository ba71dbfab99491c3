from __future__ import annotations

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.features.placing import filter_spans, filter_to_rows, put_in_rows, sum_in_rows
from qaemb.stimuli.segments import StoryWords


def story(onset, n_trs=5, tr_s=2.0, first=1.0) -> StoryWords:
    onset = np.asarray(onset, dtype=float)
    return StoryWords(["w"] * len(onset), onset, onset + 0.4, n_trs, tr_s, first, [])


def test_rows_begin_at_the_first_trs_middle():
    own = story([10.8, 12.3, 13.8], n_trs=3, tr_s=1.5, first=11.0)  # middles 11.0, 12.5, 14.0: those of the rows
    np.testing.assert_allclose(filter_to_rows(own, own.middle_s, np.eye(3), 3), np.eye(3), atol=1e-6)


def test_filtering_is_the_sum_of_the_kernel_over_words():
    own = story([0.1, 3.3, 4.0, 8.9])
    values = np.random.default_rng(0).standard_normal((4, 2))
    expected = np.zeros((5, 2))
    for row, at in enumerate([1.0, 3.0, 5.0, 7.0, 9.0]):
        for word, middle in enumerate([0.3, 3.5, 4.2, 9.1]):
            t = (at - middle) / 2.0
            if 0 < abs(t) <= 3:
                expected[row] += 3 * np.sin(np.pi * t) * np.sin(np.pi * t / 3) / (np.pi * t) ** 2 * values[word]
    np.testing.assert_allclose(filter_to_rows(own, own.middle_s, values, 3), expected, atol=1e-6)


def test_rows_are_summed_over_the_words_whose_middle_they_hold():
    # Middles .2, 1.9, 2.0, 9.9 and 10.1: a word at the border belongs to the later row, one after the end to none.
    own = story([0.0, 1.7, 1.8, 9.7, 9.9])
    values = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    assert sum_in_rows(own, values).ravel().tolist() == [3.0, 4.0, 0.0, 0.0, 8.0]


def test_words_before_the_first_row_count_nowhere():
    own = story([0.0, 11.0], first=11.0)
    assert sum_in_rows(own, np.ones((2, 1))).ravel().tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_tr_segments_stand_in_their_rows_and_others_hold_what_is_given():
    placed = put_in_rows(story([0.0]), np.array([4, 1]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([9.0, 8.0]))
    assert placed.tolist() == [[9, 8], [3, 4], [9, 8], [9, 8], [1, 2]]
    assert placed.dtype == np.float32


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_outside_the_story_is_refused(row):
    with pytest.raises(BadInput, match="of a story of 5 rows"):
        put_in_rows(story([0.0]), np.array([row]), np.ones((1, 1)))


def test_every_word_of_a_span_carries_its_values():
    own = story([0.1, 1.0, 2.2, 3.3, 4.0, 6.1, 8.9])
    values = np.array([[1.0], [2.0], [3.0]])
    of_word = np.array([[1.0], [1.0], [1.0], [2.0], [0.0], [3.0], [3.0]])  # word 4 is in no span
    expected = filter_to_rows(own, own.middle_s, of_word, 3)
    np.testing.assert_allclose(filter_spans(own, [(0, 2), (3, 3), (5, 6)], values, 3), expected, atol=1e-6)
