"""Stability selection: questions that the elastic net keeps on most random halves of the train stories.

Meinshausen & Buehlmann (2010). At each penalty of a common path, a question's share is that of the halves on which it
has a weight. A set of n questions is what is stable (share at or above a threshold) at the largest penalty at which n
questions are; the paper of the 35 questions makes its sets so, at a few penalties, from five halves, threshold 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.selection.elastic_net import Array, Products, solve_elastic_net


@dataclass(frozen=True)
class Shares:
    """Penalties from the largest down (penalties,), and each question's share of the halves at each (penalties, p)."""

    alphas: Array
    kept: Array

    def order(self, threshold: float) -> NDArray[np.int64]:
        """Return all questions by the penalty at which their share first reaches the threshold, the largest first.

        Ties, and questions that never reach it, go by the mean share over the penalties.
        """
        stable = self.kept >= threshold
        reached = np.where(stable.any(axis=0), stable.argmax(axis=0), len(self.alphas))
        return np.lexsort((-self.kept.mean(axis=0), reached))

    def at_size(self, size: int, threshold: float) -> int:
        """Return the position of the largest penalty at which `size` questions are stable, else of the last."""
        enough = np.flatnonzero((self.kept >= threshold).sum(axis=1) >= size)
        return int(enough[0]) if len(enough) else len(self.alphas) - 1


def shares(halves: Sequence[Products], alphas: Array, threshold: float, enough: int) -> Shares:
    """Return the shares at falling penalties, down to where `enough` questions reach the threshold."""
    weights: list[Array | None] = [None] * len(halves)
    rows: list[Array] = []
    with tqdm(total=len(alphas), desc="stability", unit="penalty", leave=False) as bar:
        for alpha in alphas:
            found = [solve_elastic_net(own, float(alpha), start) for own, start in zip(halves, weights, strict=True)]
            weights = list(found)
            rows.append(np.mean([np.any(own != 0, axis=1) for own in found], axis=0))
            bar.update()
            if (rows[-1] >= threshold).sum() >= enough:
                break
    return Shares(alphas[: len(rows)], np.stack(rows))
