"""Cutting a story into segments: pure functions from words in time to texts with an index and a time.

Each function takes the words of one story in order (`StoryWords`) and returns its pieces (`Pieces`). Texts are words
joined by single spaces, so equal words give one segment wherever they stand. With `mark`, the segment itself stands in
double square brackets inside its context (marks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.settings import SegmentationSettings
from qaemb.stimuli.marks import Parts, join_marked


@dataclass(frozen=True)
class StoryWords:
    """The words of one story and the response rows that they fall on; times in seconds."""

    words: list[str]
    onset_s: NDArray[np.float64]
    offset_s: NDArray[np.float64]
    n_trs: int
    tr_s: float
    first_tr_s: float
    sentences: list[tuple[int, int, str]]
    """First and last word (inclusive) and text of each sentence; empty where the source has no transcript."""

    @property
    def middle_s(self) -> NDArray[np.float64]:
        """The middle of each word."""
        return (self.onset_s + self.offset_s) / 2


@dataclass(frozen=True)
class Pieces:
    """The segments of one story, in order: number in the story, time in seconds, text."""

    index: list[int]
    time_s: list[float]
    text: list[str]


def cut_words(story: StoryWords, settings: SegmentationSettings) -> Pieces:
    """Return one piece per word, at the word's middle: the word with `before` words before it and `after` after it."""
    return Pieces(list(range(len(story.words))), story.middle_s.tolist(), _each_in_context(story.words, settings))


def word_rows(story: StoryWords) -> NDArray[np.int64]:
    """Return the response row of each word: row j holds the words whose middle lies in [t_j - TR/2, t_j + TR/2).

    Rows below 0 or from n_trs on are possible: words heard before the first or after the last response.
    """
    start = story.first_tr_s - story.tr_s / 2
    return np.floor((story.middle_s - start) / story.tr_s).astype(np.int64)


def cut_trs(story: StoryWords, settings: SegmentationSettings) -> Pieces:
    """Return one piece per response row with words in its window: the row, `before` TRs before it and `after` after it.

    The TRs before row 0 and behind the last row count as context although they have no response. A row without words
    of its own still has a piece if there are words in its context; marked, its focus is empty.
    """
    rows = word_rows(story)
    # Rows do not decrease with the word number as words are in order of time, so each piece is a slice.
    starts = np.searchsorted(rows, np.arange(-settings.before, story.n_trs), side="left")
    ends = np.searchsorted(rows, np.arange(story.n_trs + settings.after), side="right")
    kept, texts = [], []
    for row in range(story.n_trs):
        own = (int(starts[row + settings.before]), int(ends[row]))
        window = (int(starts[row]), int(ends[row + settings.after]))
        if window[0] < window[1]:
            kept.append(row)
            texts.append(_in_context(story.words, own, window, settings.mark))
    return Pieces(kept, [story.first_tr_s + row * story.tr_s for row in kept], texts)


def cut_sentences(story: StoryWords, settings: SegmentationSettings) -> Pieces:
    """Return one piece per sentence, at its middle, with `before` sentences before it and `after` after it."""
    spans = sentence_spans(story, settings)
    times = [float(story.onset_s[first] + story.offset_s[last]) / 2 for first, last, _ in spans]
    texts = _each_in_context([text for _, _, text in spans], settings)
    return Pieces(list(range(len(spans))), times, texts)


def sentence_spans(story: StoryWords, settings: SegmentationSettings) -> list[tuple[int, int, str]]:
    """Return first and last word (inclusive) and text of each sentence: the transcript's, else runs of words.

    Without a transcript a sentence ends at a pause of `pause_s` or longer, and after `max_words` words at the latest.
    """
    return story.sentences or _pause_spans(story, settings)


def _each_in_context(texts: Sequence[str], settings: SegmentationSettings) -> list[str]:
    before, after = settings.before, settings.after
    return [_in_context(texts, (i, i + 1), (i - before, i + 1 + after), settings.mark) for i in range(len(texts))]


def _in_context(texts: Sequence[str], own: tuple[int, int], window: tuple[int, int], mark: bool) -> str:
    """Return the texts of a window (first, one past the last) as one, those of `own` marked if `mark`."""
    first, last = max(0, window[0]), window[1]  # a slice may end behind the texts, not start before them
    if not mark:
        return " ".join(texts[first:last])
    before, focus, after = (" ".join(texts[i:j]) for i, j in ((first, own[0]), own, (own[1], last)))
    return join_marked(Parts(before, focus, after))


def _pause_spans(story: StoryWords, settings: SegmentationSettings) -> list[tuple[int, int, str]]:
    pauses = np.append(story.onset_s[1:] - story.offset_s[:-1], np.inf)
    spans, first = [], 0
    for last, pause in enumerate(pauses):
        # The tolerance keeps a pause that is exactly `pause_s` long from being lost to rounding.
        if pause >= settings.pause_s - 1e-9 or last - first + 1 == settings.max_words:
            spans.append((first, last, " ".join(story.words[first : last + 1])))
            first = last + 1
    return spans


SEGMENTATIONS = {"words": cut_words, "tr": cut_trs, "sentence": cut_sentences}
