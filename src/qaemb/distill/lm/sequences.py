"""Questions about a text packed into one sequence of tokens, and sequences padded into a batch. No tensors.

The prompts of a text, one for each question, begin alike: they are a tree (answers/packing.py) whose trunk is the text.
A token sees its ancestors alone and stands at the place that it has in its own prompt, so that every prompt is computed
as if it stood there by itself, as engine `shared` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.packing import Pack, pack

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """A batch of B sequences of at most n tokens, padded on the right, with C cells in all.

    `ids`, `places` int64 (B, n); `visible` bool (B, n, n): whether the token of a row sees the token of a column
    (padding sees itself alone); `rows`, `ends` int64 (C,): sequence and token at which each cell's prompt ends;
    `n_tokens`: tokens without padding.
    """

    ids: Ints
    places: Ints
    visible: NDArray[np.bool_]
    rows: Ints
    ends: Ints
    n_tokens: int


def pack_text(shared: Sequence[int], endings: Sequence[Sequence[int]], max_nodes: int) -> list[Pack]:
    """Return trees of the prompts `shared + ending`, each of at most `max_nodes` tokens besides `shared`."""
    prompts = [[*shared, *ending] for ending in endings]
    return pack(prompts, len(shared) + max_nodes)


def batch(packs: Sequence[Pack]) -> Packed:
    """Return trees side by side as one batch; cells come tree by tree, in the order of the members' numbers."""
    longest = max(len(tree.ids) for tree in packs)
    ids, places = np.zeros((2, len(packs), longest), np.int64)
    visible = np.repeat(np.eye(longest, dtype=bool)[None], len(packs), axis=0)
    rows: list[int] = []
    ends: list[int] = []
    for row, tree in enumerate(packs):
        n = len(tree.ids)
        ids[row, :n], places[row, :n], visible[row, :n, :n] = tree.ids, tree.places(), tree.visible()
        rows += [row] * len(tree.members)
        ends += [end for _, end in sorted(zip(tree.members, tree.ends, strict=True))]
    n_tokens = sum(len(tree.ids) for tree in packs)
    return Packed(ids, places, visible, np.array(rows, np.int64), np.array(ends, np.int64), n_tokens)
