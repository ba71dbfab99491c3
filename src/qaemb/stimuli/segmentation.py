"""Cutting a story into segments: pure functions from words in time to texts with an index and a time.

Each function takes the words of one story in order (`StoryWords`) and returns its pieces (`Pieces`). Texts are words
joined by single spaces, so equal words give one segment wherever they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.settings import SegmentationSettings


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
    """Return one piece per word: the `before` words before it and the word itself, at the word's middle."""
    words = story.words
    texts = [" ".join(words[max(0, i - settings.before) : i + 1]) for i in range(len(words))]
    return Pieces(list(range(len(words))), story.middle_s.tolist(), texts)


def word_rows(story: StoryWords) -> NDArray[np.int64]:
    """Return the response row of each word: row j holds the words whose middle lies in [t_j - TR/2, t_j + TR/2).

    Rows below 0 or from n_trs on are possible: words heard before the first or after the last response.
    """
    start = story.first_tr_s - story.tr_s / 2
    return np.floor((story.middle_s - start) / story.tr_s).astype(np.int64)


def cut_trs(story: StoryWords, settings: SegmentationSettings) -> Pieces:
    """Return one piece per response row with words: those of the row and of the `before` TRs before it.

    The TRs before row 0 count as context although they have no response.
    """
    rows = word_rows(story)
    # Rows do not decrease with the word number as words are in order of time, so each piece is a slice.
    first = np.searchsorted(rows, np.arange(story.n_trs) - settings.before, side="left")
    last = np.searchsorted(rows, np.arange(story.n_trs), side="right")
    kept = [row for row in range(story.n_trs) if first[row] < last[row]]
    texts = [" ".join(story.words[first[row] : last[row]]) for row in kept]
    return Pieces(kept, [story.first_tr_s + row * story.tr_s for row in kept], texts)


def cut_sentences(story: StoryWords, settings: SegmentationSettings) -> Pieces:
    """Return one piece per sentence of the transcript, else per run of words between pauses, at its middle.

    Without a transcript a sentence ends at a pause of `pause_s` or longer, and after `max_words` words at the latest.
    """
    spans = story.sentences or _pause_spans(story, settings)
    times = [float(story.onset_s[first] + story.offset_s[last]) / 2 for first, last, _ in spans]
    return Pieces(list(range(len(spans))), times, [text for _, _, text in spans])


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
