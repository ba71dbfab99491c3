"""From words and segments, which stand in time, to response rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qaemb.arrays import Array, Floats, Floats32
from qaemb.errors import BadInput
from qaemb.stimuli.lanczos import lanczos_matrix
from qaemb.stimuli.segments import StoryWords


def filter_to_rows(story: StoryWords, times: Array, values: Floats, lobes: int) -> Floats32:
    """Return values that stand at `times` (n,), (n, features), as response rows (n_trs, features), by Lanczos.

    Rows are sums over the words around them, not means: a feature grows with the words per TR.
    """
    middles = story.first_tr_s + story.tr_s * np.arange(story.n_trs, dtype=np.float64)  # of the rows' TRs
    weights = lanczos_matrix(times, middles, lobes)
    return (weights @ np.asarray(values, dtype=np.float64)).astype(np.float32)


def put_in_rows(
    story: StoryWords,
    rows: NDArray[np.integer],
    values: Floats,
    empty: Floats | float = 0.0,
) -> Floats32:
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


def sum_in_rows(story: StoryWords, values: Floats) -> Array:
    """Return per response row the sum of the values (n_words, features) of the words whose middle lies in its TR."""
    rows = story.rows
    inside = np.flatnonzero((rows >= 0) & (rows < story.n_trs))
    places = (np.ones(len(inside)), (rows[inside], inside))
    return sparse.csr_matrix(places, shape=(story.n_trs, len(rows))) @ np.asarray(values, dtype=np.float64)


def filter_spans(story: StoryWords, spans: list[tuple[int, int]], values: Floats, lobes: int) -> Floats32:
    """Return values of spans of words (spans, features) as response rows: every word of a span carries its values.

    A span is the numbers of its first and its last word.
    """
    numbers = np.concatenate([np.arange(first, last + 1) for first, last in spans])
    of_word = np.repeat(np.arange(len(spans)), [last + 1 - first for first, last in spans])
    return filter_to_rows(story, story.middle_s[numbers], values[of_word], lobes)
