"""Prompts' endings packed into trees, so that tokens that they begin with in common are computed once.

"Does the text mention food?" and "Does the text mention a place?" share their first words. A pack is one sequence of
tokens that holds many endings as a tree: each token sees its ancestors alone and stands at the place that it has in its
own ending, so every ending is computed as if it stood there by itself. Pure index arithmetic, no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_NODES = 256  # tokens of one pack: every token looks at all of its pack, so attention grows with the square


@dataclass(frozen=True)
class Pack:
    """A tree of tokens: node k holds token `ids[k]`, `parents[k]` < k is the node before it (-1: the prefix).

    `members` are the numbers of the endings in it, `ends` the node at which each of them ends.
    """

    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def places(self) -> NDArray[np.int64]:
        """Return the place (n,) of each node in its ending, from 0."""
        places = np.zeros(len(self.ids), np.int64)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                places[node] = places[parent] + 1
        return places

    def visible(self) -> NDArray[np.bool_]:
        """Return (n, n): whether the node of a row sees the node of a column, itself or one of its ancestors."""
        seen = np.eye(len(self.ids), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def pack(endings: Sequence[Sequence[int]], max_nodes: int) -> list[Pack]:
    """Return packs that hold every ending once, each of at most `max_nodes` tokens or with one ending alone.

    Endings are taken in the order of their tokens, so that those that begin alike come together.
    """
    packs: list[Pack] = []
    nodes: dict[tuple[int, int], int] = {}
    for number in sorted(range(len(endings)), key=lambda i: (endings[i], i)):
        path = _path(nodes, endings[number])
        n_new = len(endings[number]) - len(path)
        if not packs or len(packs[-1].ids) + n_new > max_nodes:
            packs.append(Pack())
            nodes, path = {}, []
        _add(packs[-1], nodes, number, endings[number], path)
    return packs


def _path(nodes: dict[tuple[int, int], int], ending: Sequence[int]) -> list[int]:
    """Return the nodes that an ending shares with those before it."""
    path: list[int] = []
    for token in ending:
        node = nodes.get((path[-1] if path else -1, token))
        if node is None:
            break
        path.append(node)
    return path


def _add(target: Pack, nodes: dict[tuple[int, int], int], number: int, ending: Sequence[int], path: list[int]) -> None:
    """Append the nodes of an ending that continue its shared path."""
    node = path[-1] if path else -1
    for token in ending[len(path) :]:
        nodes[node, token] = len(target.ids)
        target.ids.append(token)
        target.parents.append(node)
        node = len(target.ids) - 1
    target.members.append(number)
    target.ends.append(node)
