"""From words and segments, which stand in time, to response rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qaemb.errors import BadInput
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
