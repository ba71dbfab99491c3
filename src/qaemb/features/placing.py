"""From words and segments, which stand in time, to response rows.

Spaces that count words: bags of words and the nuisance spaces of word rate, letter rate and word frequency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qaemb.errors import BadInput, BadParameter
from qaemb.stimuli.lanczos import lanczos_matrix
from qaemb.stimuli.segmentation import StoryWords, word_rows


def tr_times(story: StoryWords) -> NDArray[np.float64]:
    """Return the middle of each response row's TR in seconds, (n_trs,)."""
    return story.first_tr_s + story.tr_s * np.arange(story.n_trs, dtype=np.float64)


def filter_to_rows(
    story: StoryWords, times: NDArray[np.float64], values: NDArray[np.floating], lobes: int
) -> NDArray[np.float32]:
    """Return values that stand at `times` (n,), (n, features), as response rows (n_trs, features), by Lanczos.

    Rows are sums over the words around them, not means: a feature grows with the words per TR.
    """
    weights = lanczos_matrix(times, tr_times(story), lobes)
    return (weights @ np.asarray(values, dtype=np.float64)).astype(np.float32)


def put_in_rows(
    story: StoryWords,
    rows: NDArray[np.integer],
    values: NDArray[np.floating],
    empty: NDArray[np.floating] | float = 0.0,
) -> NDArray[np.float32]:
    """Return values of TR segments (n, features) in their rows; rows without words hold `empty`.

    BadInput if a row is outside the story: segments and stories come from different runs.
    """
    rows = np.asarray(rows)
    if len(rows) and (rows.min() < 0 or rows.max() >= story.n_trs):
        raise BadInput(
            f"a TR segment stands in row {rows.max()} of a story of {story.n_trs} rows; run `segments` again"
        )
    placed = np.empty((story.n_trs, values.shape[1]), dtype=np.float32)
    placed[:] = empty
    placed[rows] = values
    return placed


def sum_in_rows(story: StoryWords, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return per response row the sum of the values (n_words, features) of the words whose middle lies in its TR."""
    rows = word_rows(story)
    inside = np.flatnonzero((rows >= 0) & (rows < story.n_trs))
    places = (np.ones(len(inside)), (rows[inside], inside))
    return sparse.csr_matrix(places, shape=(story.n_trs, len(rows))) @ np.asarray(values, dtype=np.float64)


def words_of_spans(spans: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (word numbers, number of the span of each) for spans of words given as (first, last), inclusive."""
    numbers = [np.arange(first, last + 1) for first, last in spans]
    owners = [np.full(last + 1 - first, i) for i, (first, last) in enumerate(spans)]
    return np.concatenate(numbers), np.concatenate(owners)


RATE_COLUMNS = ("words", "letters", "frequency")


def count_words(stories: Iterable[StoryWords]) -> Counter[str]:
    """Return how often each word, in lower case, stands in the stories."""
    return Counter(word.lower() for story in stories for word in story.words)


def most_frequent(counts: Counter[str], n_words: int) -> list[str]:
    """Return the `n_words` most frequent words; of equally frequent ones the alphabetically first.

    >>> most_frequent(Counter("aabbcd"), 3)
    ['a', 'b', 'c']
    """
    return sorted(counts, key=lambda word: (-counts[word], word))[:n_words]


def bag_of_words(story: StoryWords, vocabulary: list[str]) -> NDArray[np.float32]:
    """Return log(1 + count) of each word of the vocabulary per response row, (n_trs, n_words)."""
    column = {word: i for i, word in enumerate(vocabulary)}
    ones = np.zeros((len(story.words), len(vocabulary)), dtype=np.float32)
    for i, word in enumerate(story.words):
        if word.lower() in column:
            ones[i, column[word.lower()]] = 1.0
    return np.log1p(sum_in_rows(story, ones)).astype(np.float32)


def word_rate(story: StoryWords, counts: Counter[str], columns: list[str]) -> NDArray[np.float32]:
    """Return nuisance features per response row, (n_trs, len(columns)), in the order of `columns`.

    words: number of words. letters: number of their characters. frequency: mean over the words of log p(word), where
    p = (count + 1) / (total + number of different words + 1) over the train stories, so an unseen word counts as seen
    once; a row without words holds the mean over the train stories' words, which says nothing in either direction.
    BadParameter names an unknown column.
    """
    for column in columns:
        if column not in RATE_COLUMNS:
            raise BadParameter(f"word_rate has no column `{column}`; there are: {', '.join(RATE_COLUMNS)}")
    logs, mean = _log_frequencies(story, counts)
    letters = [float(len(word)) for word in story.words]
    sums = sum_in_rows(story, np.column_stack([np.ones(len(letters)), letters, logs]))
    has_words = sums[:, 0] > 0
    sums[:, 2] = np.where(has_words, sums[:, 2] / np.maximum(sums[:, 0], 1), mean)
    return sums[:, [RATE_COLUMNS.index(column) for column in columns]].astype(np.float32)


def _log_frequencies(story: StoryWords, counts: Counter[str]) -> tuple[NDArray[np.float64], float]:
    """Return log p of each word of the story, and the mean of log p over the words that were counted."""
    total = counts.total()
    base = np.log(total + len(counts) + 1)
    logs = np.array([np.log(counts[word.lower()] + 1) - base for word in story.words])
    mean = sum(n * (np.log(n + 1) - base) for n in counts.values()) / total
    return logs, float(mean)
