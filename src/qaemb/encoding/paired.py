"""Two models on one subject, voxel by voxel and on the mean, from what they predict on the same test rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.jackknife import Interval, Jackknife, block_stories, confidence, jackknife_r, paired_difference
from qaemb.encoding.significance import ALPHA, q_values

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class PairedBlock:
    """Some voxels: what A and B predict and what was measured, each (n_trs, v) a test story, no NaN."""

    a: Sequence[_Array]
    b: Sequence[_Array]
    measured: Sequence[_Array]


@dataclass(frozen=True)
class Comparison:
    """A against B on one subject: r of both and the interval of the difference, (voxels,), and all of it on the mean.

    `q` is the false discovery rate over these voxels; `mean` is the mean over voxels of r of A minus that of B.
    """

    r_a: _Array
    r_b: _Array
    voxels: Interval
    q: _Array
    mean: float
    mean_interval: Interval

    @property
    def n_a_better(self) -> int:
        """In how many voxels A is above B at q < .05."""
        return int(((self.q < ALPHA) & (self.r_a > self.r_b)).sum())

    @property
    def n_b_better(self) -> int:
        """In how many voxels B is above A at q < .05."""
        return int(((self.q < ALPHA) & (self.r_b > self.r_a)).sum())


def compare_voxels(blocks: Iterable[PairedBlock], n_rows: Sequence[int], block_trs: int) -> Comparison:
    """Return the comparison over all blocks of voxels; `n_rows` are the rows of the test stories.

    Memory holds one block and a few numbers for each voxel.
    """
    story = block_stories(n_rows, block_trs)
    left_out = np.zeros(len(story))
    found: list[tuple[_Array, _Array, Interval]] = []
    for block in blocks:
        a, b = (jackknife_r(own, block.measured, block_trs) for own in (block.a, block.b))
        difference = paired_difference(a, b)
        left_out += difference.left_out.sum(axis=1)
        found.append((a.value, b.value, confidence(difference)))
    r_a, r_b = (np.concatenate([own[i] for own in found]) for i in (0, 1))
    low, high, p = (np.concatenate([getattr(own[2], name) for own in found]) for name in ("low", "high", "p"))
    mean = Jackknife((r_a - r_b).mean(), left_out / len(r_a), story)
    return Comparison(r_a, r_b, Interval(low, high, p), q_values(p), float(mean.value), confidence(mean))
