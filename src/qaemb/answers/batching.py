"""Which prompts go through the model together: pure index arithmetic on lengths.

A grid of prefixes and suffixes is cut into groups of prefixes (their keys and values are held at one time) and, per
group, into chunks of suffixes. Both are taken in order of length, so that little is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_MIN_CHUNK = 4  # suffixes of one pass where prefixes abound: a few, so that lengths in a pass are alike
_MAX_CELLS = 512  # prompts in one pass: their logits over the whole vocabulary are held at one time
_HELD = 2  # tokens whose keys and values are held, as a multiple of the budget
_ATTENDED = 16  # positions that one pass attends to, prefixes included, as a multiple of the budget


@dataclass(frozen=True)
class Budget:
    """`tokens`: most tokens, padding included, in one pass; a single prompt may exceed it."""

    tokens: int

    def prefix_groups(self, lengths: Sequence[int], header: int, suffixes: Sequence[int]) -> list[list[int]]:
        """Return groups of prefix numbers. `lengths` include the header, which is not computed again."""
        per_cell = max(1, round(float(np.mean(suffixes))) * min(len(suffixes), _MIN_CHUNK))
        most = min(_MAX_CELLS, max(1, self.tokens // per_cell))

        def fits(count: int, longest: int) -> bool:
            held, computed = count * longest, count * (longest - header)
            return count <= most and held <= _HELD * self.tokens and computed <= self.tokens

        return _runs(lengths, fits)

    def suffix_chunks(self, lengths: Sequence[int], n_prefixes: int, longest_prefix: int) -> list[list[int]]:
        """Return chunks of suffix numbers for a group of prefixes."""

        def fits(count: int, longest: int) -> bool:
            cells = count * n_prefixes
            attended = cells * (longest_prefix + longest)
            return cells <= _MAX_CELLS and cells * longest <= self.tokens and attended <= _ATTENDED * self.tokens

        return _runs(lengths, fits)


def _runs(lengths: Sequence[int], fits: Callable[[int, int], bool]) -> list[list[int]]:
    """Cut the numbers, longest first, into runs that fit; a run that does not fit has one member."""
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    runs: list[list[int]] = []
    for number in order:
        if runs and fits(len(runs[-1]) + 1, lengths[runs[-1][0]]):
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def length_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of row numbers, longest first, each of at most `budget` tokens with padding (or one row)."""
    return _runs(lengths, lambda count, longest: count * longest <= budget)
