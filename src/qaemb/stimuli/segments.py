"""Cutting stories into segments: the texts there are, and where each one stands.

A segmentation takes the words of one story in order (`StoryWords`) and returns its pieces. Texts are words joined by
single spaces, so equal words give one segment wherever they stand. With `mark`, the segment itself stands in double
square brackets inside its context (marks.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Integers
from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.settings import SegmentationSettings
from qaemb.stimuli.marks import CLOSE, OPEN, Parts, join_marked


@dataclass(frozen=True)
class StoryWords:
    """The words of one story and the response rows that they fall on; times in seconds."""

    words: list[str]
    onset_s: Array
    offset_s: Array
    n_trs: int
    tr_s: float
    first_tr_s: float
    sentences: list[tuple[int, int, str]]
    """First and last word (inclusive) and text of each sentence; empty where the source has no transcript."""

    @property
    def middle_s(self) -> Array:
        """The middle of each word."""
        return (self.onset_s + self.offset_s) / 2

    @property
    def rows(self) -> Integers:
        """The response row of each word: row j holds the words whose middle lies in [t_j - TR/2, t_j + TR/2).

        Rows below 0 or from n_trs on are possible: words heard before the first or after the last response.
        """
        start = self.first_tr_s - self.tr_s / 2
        return np.floor((self.middle_s - start) / self.tr_s).astype(np.int64)

    def spans(self, settings: SegmentationSettings) -> list[tuple[int, int, str]]:
        """Return first and last word (inclusive) and text of each sentence: the transcript's, else runs of words.

        Without a transcript a sentence ends at a pause of `pause_s` or longer, and after `max_words` words at the
        latest.
        """
        return self.sentences or _pause_spans(self, settings)


@dataclass(frozen=True)
class _Pieces:
    """The segments of one story, in order: number in the story, time in seconds, text."""

    index: list[int]
    time_s: list[float]
    text: list[str]


def _cut_words(story: StoryWords, settings: SegmentationSettings) -> _Pieces:
    """Return one piece per word, at the word's middle: the word with `before` words before it and `after` after it."""
    return _Pieces(list(range(len(story.words))), story.middle_s.tolist(), _each_in_context(story.words, settings))


def _cut_trs(story: StoryWords, settings: SegmentationSettings) -> _Pieces:
    """Return one piece per response row with words in its window: the row, `before` TRs before it and `after` after it.

    The TRs before row 0 and behind the last row count as context although they have no response. A row without words
    of its own still has a piece if there are words in its context; marked, its focus is empty.
    """
    rows = story.rows
    # Rows do not decrease with the word number as words are in order of time, so each piece is a slice.
    starts = np.searchsorted(rows, np.arange(-settings.before, story.n_trs), side="left")
    ends = np.searchsorted(rows, np.arange(story.n_trs + settings.after), side="right")
    index, texts = [], []
    for row in range(story.n_trs):
        focus = (int(starts[row + settings.before]), int(ends[row]))
        window = (int(starts[row]), int(ends[row + settings.after]))
        if window[0] < window[1]:
            index.append(row)
            texts.append(_in_context(story.words, focus, window, settings.mark))
    return _Pieces(index, [story.first_tr_s + row * story.tr_s for row in index], texts)


def _cut_sentences(story: StoryWords, settings: SegmentationSettings) -> _Pieces:
    """Return one piece per sentence, at its middle, with `before` sentences before it and `after` after it."""
    spans = story.spans(settings)
    times = [float(story.onset_s[first] + story.offset_s[last]) / 2 for first, last, _ in spans]
    texts = _each_in_context([text for _, _, text in spans], settings)
    return _Pieces(list(range(len(spans))), times, texts)


def _each_in_context(texts: Sequence[str], settings: SegmentationSettings) -> list[str]:
    before, after = settings.before, settings.after
    return [_in_context(texts, (i, i + 1), (i - before, i + 1 + after), settings.mark) for i in range(len(texts))]


def _in_context(texts: Sequence[str], span: tuple[int, int], window: tuple[int, int], mark: bool) -> str:
    """Return the texts of a window (first, one past the last) as one, those of `span` marked if `mark`."""
    first, last = max(0, window[0]), window[1]  # a slice may end behind the texts, not start before them
    if not mark:
        return " ".join(texts[first:last])
    before, focus, after = (" ".join(texts[i:j]) for i, j in ((first, span[0]), span, (span[1], last)))
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


_SEGMENTATIONS = {"words": _cut_words, "tr": _cut_trs, "sentence": _cut_sentences}


def story_words(
    words: pd.DataFrame, stories: pd.DataFrame, sentences: pd.DataFrame
) -> Iterator[tuple[str, StoryWords]]:
    """Yield name and words of each story in the order of `stories`; BadInput names a story without words.

    The tables are the data set's words, stories and sentences.
    """
    words_of = {str(name): rows for name, rows in words.groupby("story", sort=False)}
    sentences_of = {str(name): rows for name, rows in sentences.groupby("story", sort=False)}
    for row in stories.to_dict("records"):
        name = row["story"]
        if name not in words_of:
            raise BadInput(f"story {name} has no words; run the stage `dataset` again or leave the story out")
        of_story = words_of[name].sort_values("index")
        spans = sentences_of.get(name, sentences.iloc[:0]).sort_values("index")
        yield (
            name,
            StoryWords(
                words=of_story["word"].tolist(),
                onset_s=of_story["onset_s"].to_numpy(np.float64),
                offset_s=of_story["offset_s"].to_numpy(np.float64),
                n_trs=int(row["n_trs"]),
                tr_s=float(row["tr_s"]),
                first_tr_s=float(row["first_tr_s"]),
                sentences=list(zip(spans["first_word"], spans["last_word"], spans["text"], strict=True)),
            ),
        )


def segment_tables(
    words: pd.DataFrame, stories: pd.DataFrame, sentences: pd.DataFrame, settings: SegmentationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `segments` (segment_id, text) and `occurrences` (story, index, time_s, segment_id).

    A text that stands in several places is one segment, listed at its first occurrence. Occurrences are in the order
    of `stories` and, inside a story, of the index: word number, response row or sentence number. BadInput names the
    word that holds a mark itself, where segments are to be marked.
    """
    cut = _SEGMENTATIONS[settings.kind]
    texts: dict[str, str] = {}
    ids: dict[str, str] = {}  # text -> id: hashes each text once, most of the work where many texts repeat
    tables = []
    for name, story in story_words(words, stories, sentences):
        if settings.mark:
            _refuse_marks(name, story)
        pieces = cut(story, settings)
        for text in pieces.text:
            if text not in ids:
                ids[text] = text_id(text)
                texts[ids[text]] = text
        table = pd.DataFrame({"story": name, "index": np.asarray(pieces.index, np.int32), "time_s": pieces.time_s})
        tables.append(table.assign(segment_id=[ids[text] for text in pieces.text]))
    segments = pd.DataFrame({"segment_id": list(texts), "text": list(texts.values())})
    return segments, pd.concat(tables, ignore_index=True)


def _refuse_marks(name: str, story: StoryWords) -> None:
    for kind, texts in (("word", story.words), ("sentence", [text for _, _, text in story.sentences])):
        for number, text in enumerate(texts):
            if OPEN in text or CLOSE in text:
                raise BadInput(
                    f"story {name}: {kind} number {number}, `{text}`, holds `{OPEN}` or `{CLOSE}`, marks of segments; "
                    "correct the transcript or set `mark: false` in the section segments"
                )
