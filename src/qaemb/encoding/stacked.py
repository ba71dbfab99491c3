"""Delays over stories laid end to end, as protocol `paper` has them; `design.delayed` keeps them inside a story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qaemb.encoding.design import delayed
from qaemb.encoding.moments import Array


def stacked_designs(stories: Mapping[str, Array], delays: Sequence[int]) -> Iterator[tuple[str, Array]]:
    """Yield name and design matrix (n_trs, delays * features) of each story, delayed as if all were one long story.

    The first rows of a story hold the last features of the story before it; only the very first story begins in zeros.

    >>> dict(stacked_designs({"a": np.array([[1.0], [2.0]]), "b": np.array([[3.0], [4.0]])}, [1]))["b"].tolist()
    [[2.0], [3.0]]
    """
    before: Array | None = None
    for story, values in stories.items():
        joined = values if before is None else np.vstack([before, values])
        yield story, delayed(joined, delays)[len(joined) - len(values) :]
        before = joined[max(0, len(joined) - max(delays)) :]
