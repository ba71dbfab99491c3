"""A speaker for written stories: when each word starts and ends, and a TextGrid that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.datasets.miniature.stories import AnnotatedStory

WORDS_PER_S = 2.85
"""Pace of a whole story, pauses included; a story's own pace differs from it by up to `_PACE_SPREAD`."""

_PACE_SPREAD = 0.04
# Seconds before scaling to the pace: a word lasts _BASE + its letters and syllables, times a lognormal factor.
_BASE_S, _LETTER_S, _SYLLABLE_S, _DURATION_SD = 0.06, 0.03, 0.09, 0.15
# Ranges of the pauses after a word: at a comma, at the end of a sentence, at the end of a paragraph.
_COMMA_S, _SENTENCE_S, _PARAGRAPH_S = (0.18, 0.35), (0.6, 0.95), (1.1, 1.8)
# Most words run into the next; after the others there is a gap too short to be heard as a pause.
_GAP_SHARE, _GAP_S = 0.15, (0.03, 0.09)
_LEAD_S, _TAIL_S = (0.3, 0.9), (0.5, 1.2)

_Interval = tuple[float, float, str]
"""Start and end in milliseconds, label."""


@dataclass(frozen=True)
class Speech:
    """A spoken story; times in whole milliseconds, so that they are the same in memory and in the TextGrid."""

    words: list[str]
    onset_ms: NDArray[np.int64]
    offset_ms: NDArray[np.int64]
    duration_ms: int

    @property
    def middle_s(self) -> NDArray[np.float64]:
        """The middle of each word in seconds."""
        return (self.onset_ms + self.offset_ms) / 2000.0


def speak(story: AnnotatedStory, rng: np.random.Generator) -> Speech:
    """Return the words of a story in time: longer words take longer, sentences and paragraphs end in pauses.

    The whole is stretched so that words / duration is WORDS_PER_S, within the spread of speakers.
    """
    words = story.words
    lengths = np.array([_BASE_S + _LETTER_S * len(word) + _SYLLABLE_S * _syllables(word) for word in words])
    lengths *= np.exp(rng.normal(0.0, _DURATION_SD, len(words)))
    pauses = _pauses(story, rng)
    lead, tail = rng.uniform(*_LEAD_S), rng.uniform(*_TAIL_S)
    pace = WORDS_PER_S * rng.uniform(1 - _PACE_SPREAD, 1 + _PACE_SPREAD)
    stretch = len(words) / pace / (lead + lengths.sum() + pauses[:-1].sum() + tail)
    offsets = lead + np.cumsum(lengths) + np.append(0.0, np.cumsum(pauses[:-1]))
    onset_ms = np.rint(1000 * stretch * (offsets - lengths)).astype(np.int64)
    offset_ms = np.rint(1000 * stretch * offsets).astype(np.int64)
    return Speech(words, onset_ms, offset_ms, int(np.rint(1000 * stretch * (offsets[-1] + tail))))


def _syllables(word: str) -> int:
    """Return the number of syllables of a word, guessed as its groups of vowels without a silent final e.

    >>> [_syllables(word) for word in ("bread", "table", "over", "nine", "the")]
    [1, 2, 2, 1, 1]
    """
    stem = word[:-1] if re.search(r"[^aeiouyl]e$", word) else word
    return max(1, len(re.findall(r"[aeiouy]+", stem)))


def textgrid(speech: Speech) -> str:
    """Return the speech as a TextGrid in the long form: tier `phone`, then tier `word`, both without holes.

    Words are in capitals, silences are `sp`. As phones stand the letters of a word, each with an equal share of it:
    enough for whatever counts or times them, no phonology.
    """
    words: list[_Interval] = []
    phones: list[_Interval] = []
    end = 0
    for word, onset, offset in zip(speech.words, speech.onset_ms.tolist(), speech.offset_ms.tolist(), strict=True):
        if onset > end:
            words.append((end, onset, "sp"))
            phones.append((end, onset, "sp"))
        words.append((onset, offset, word.upper()))
        letters = word.replace("'", "").upper()
        edges = [onset + (offset - onset) * i / len(letters) for i in range(len(letters) + 1)]
        phones += list(zip(edges[:-1], edges[1:], letters, strict=True))
        end = offset
    words.append((end, speech.duration_ms, "sp"))
    phones.append((end, speech.duration_ms, "sp"))
    return _long_form({"phone": phones, "word": words}, speech.duration_ms)


def _pauses(story: AnnotatedStory, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the silence after each word in seconds, before scaling to the pace."""
    ranges = []
    for sentence in story.sentences:
        inside = [_COMMA_S if pause else _GAP_S for pause in sentence.pauses[:-1]]
        ranges += [*inside, _PARAGRAPH_S if sentence.ends_paragraph else _SENTENCE_S]
    low, high = np.array(ranges).T
    lengths = rng.uniform(low, high)
    runs_on = (low == _GAP_S[0]) & (rng.random(len(low)) >= _GAP_SHARE)
    return np.where(runs_on, 0.0, lengths)


def _long_form(tiers: dict[str, list[_Interval]], duration_ms: int) -> str:
    end = f"{duration_ms / 1000:.6f}"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += ["        xmin = 0 ", f"        xmax = {end} ", f"        intervals: size = {len(intervals)} "]
        for i, (start, stop, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start / 1000:.6f} "]
            lines += [f"            xmax = {stop / 1000:.6f} ", f'            text = "{label}" ']
    return "\n".join(lines) + "\n"
