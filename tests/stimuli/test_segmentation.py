from itertools import pairwise

import numpy as np
import pytest

from qaemb.settings import SegmentationSettings
from qaemb.stimuli.segments import _SEGMENTATIONS, StoryWords, _cut_sentences, _cut_trs, _cut_words


def settings(kind, **values):
    return SegmentationSettings(kind=kind, **values)


def test_words_with_the_words_before(story_of):
    pieces = _cut_words(story_of("a b c d", [0, 1, 2, 3], [1, 2, 3, 3.5]), settings("words", before=2))
    assert pieces.text == ["a", "a b", "a b c", "b c d"]
    assert pieces.index == [0, 1, 2, 3]
    assert pieces.time_s == [0.5, 1.5, 2.5, 3.25]


def test_a_tr_holds_the_words_whose_middle_lies_in_it(story_of):
    # Middles: 1.75, 2.0 (the edge belongs to the later row), 2.25; rows cover [0, 2), [2, 4), [4, 6).
    story = story_of("a b c", [1.5, 1.8, 2.2], [2.0, 2.2, 2.3])
    assert story.rows.tolist() == [0, 1, 1]
    pieces = _cut_trs(story, settings("tr"))
    assert (pieces.text, pieces.index, pieces.time_s) == (["a", "b c"], [0, 1], [1.0, 3.0])


def test_words_outside_of_the_responses_are_context_only(story_of):
    # The first response stands at 11 s: words of 8..10 s are one TR before it. Two rows: up to 14 s.
    story = story_of("early before in late", [5, 9, 10.5, 15], [5.5, 9.5, 11, 15.5], n_trs=2, first_tr_s=11.0)
    assert _cut_trs(story, settings("tr")).text == ["in"]
    assert _cut_trs(story, settings("tr", before=1)).text == ["before in", "in"]
    assert _cut_trs(story, settings("tr", before=3)).text == ["early before in", "before in"]


def test_a_tr_without_words_has_no_occurrence(story_of):
    pieces = _cut_trs(story_of("a b", [0, 5], [1, 5.5]), settings("tr"))
    assert (pieces.text, pieces.index) == (["a", "b"], [0, 2])
    assert _cut_trs(story_of("a b", [0, 5], [1, 5.5]), settings("tr", before=1)).text == ["a", "a", "b"]


def test_sentences_of_the_transcript(story_of):
    story = story_of("a b c", [0, 1, 4], [1, 2, 5], sentences=[(0, 1, "A, b."), (2, 2, "C?")])
    pieces = _cut_sentences(story, settings("sentence"))
    assert (pieces.text, pieces.index, pieces.time_s) == (["A, b.", "C?"], [0, 1], [1.0, 4.5])


def test_sentences_cut_at_pauses(story_of):
    story = story_of("a b c d e", [0, 1, 2.5, 3.4, 4], [1, 2, 3, 4, 5])
    pieces = _cut_sentences(story, settings("sentence", pause_s=0.5))
    assert pieces.text == ["a b", "c d e"]
    assert pieces.time_s == [1.0, 3.75]
    assert _cut_sentences(story, settings("sentence", pause_s=0.4)).text == ["a b", "c", "d e"]
    assert _cut_sentences(story, settings("sentence", pause_s=9, max_words=2)).text == ["a b", "c d", "e"]


def test_words_between_the_words_around_them(story_of):
    story = story_of("a b c d", [0, 1, 2, 3], [1, 2, 3, 3.5])
    assert _cut_words(story, settings("words", after=2)).text == ["a b c", "b c d", "c d", "d"]
    pieces = _cut_words(story, settings("words", before=2, after=1, mark=True))
    assert pieces.text == ["[[a]] b", "a [[b]] c", "a b [[c]] d", "b c [[d]]"]
    assert pieces.time_s == [0.5, 1.5, 2.5, 3.25]
    assert _cut_words(story, settings("words", mark=True)).text == ["[[a]]", "[[b]]", "[[c]]", "[[d]]"]


def test_sentences_between_the_sentences_around_them(story_of):
    story = story_of("a b c d", [0, 1, 4, 6], [1, 2, 5, 7], sentences=[(0, 1, "A, b."), (2, 2, "C?"), (3, 3, "D.")])
    assert _cut_sentences(story, settings("sentence", before=1)).text == ["A, b.", "A, b. C?", "C? D."]
    pieces = _cut_sentences(story, settings("sentence", before=1, after=1, mark=True))
    assert pieces.text == ["[[A, b.]] C?", "A, b. [[C?]] D.", "C? [[D.]]"]
    assert (pieces.index, pieces.time_s) == ([0, 1, 2], [1.0, 4.5, 6.5])


def test_a_pause_in_marked_context_has_an_empty_focus(story_of):
    # Words in rows 0 and 2, none in 1, 3 and 4.
    story = story_of("a b c", [0, 4.2, 5], [1, 4.8, 5.5], n_trs=5)
    pieces = _cut_trs(story, settings("tr", before=1, after=1, mark=True))
    assert (pieces.index, pieces.text) == ([0, 1, 2, 3], ["[[a]]", "a [[]] b c", "[[b c]]", "b c [[]]"])
    pieces = _cut_trs(story, settings("tr", before=1, after=1))
    assert (pieces.index, pieces.text) == ([0, 1, 2, 3], ["a", "a b c", "b c", "b c"])
    assert _cut_trs(story, settings("tr", mark=True)).index == [0, 2]


def test_words_outside_of_the_responses_are_context_after_too(story_of):
    story = story_of("early in late", [9, 10.5, 15], [9.5, 11, 15.5], n_trs=2, first_tr_s=11.0)
    pieces = _cut_trs(story, settings("tr", before=1, after=2, mark=True))
    assert pieces.text == ["early [[in]] late", "in [[]] late"]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (3, 0), (0, 2), (2, 3)])
@pytest.mark.parametrize("mark", [False, True])
def test_trs_against_a_slow_search(before, after, mark):
    rng = np.random.default_rng(before)
    onset = np.cumsum(rng.uniform(0.2, 1.5, 80))
    words = [f"w{i}" for i in range(80)]
    story = StoryWords(words, onset, onset + 0.2, 30, 2.0, 11.0, [])
    expected = {}
    for row in range(30):
        middle = 11.0 + 2.0 * row
        edges = [middle - 1 - 2 * before, middle - 1, middle + 1, middle + 1 + 2 * after]
        parts = [
            " ".join(w for w, t in zip(words, onset + 0.1, strict=True) if start <= t < end)
            for start, end in pairwise(edges)
        ]
        if any(parts):
            shown = [parts[0], f"[[{parts[1]}]]", parts[2]] if mark else parts
            expected[row] = " ".join(part for part in shown if part)
    pieces = _cut_trs(story, settings("tr", before=before, after=after, mark=mark))
    assert dict(zip(pieces.index, pieces.text, strict=True)) == expected


@pytest.mark.parametrize("kind", _SEGMENTATIONS)
def test_every_kind_of_the_settings_has_a_function(kind, story_of):
    pieces = _SEGMENTATIONS[kind](story_of("one", [0], [1]), settings(kind))
    assert pieces.text == ["one"]
