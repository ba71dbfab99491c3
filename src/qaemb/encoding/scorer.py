"""Scores of many predictions of the same responses, with and without each block of test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qaemb.encoding.jackknife import block_starts, block_stories
from qaemb.encoding.moments import Array
from qaemb.encoding.scores import r_from_sums, variation


class Scorer:
    """r and share of variance of predictions of the same responses: whole, and without each block of rows.

    Both are means over the test stories. r is Pearson's; the share is 1 - SS(measured - predicted) / SS(measured), both
    centred by story: 1 is perfect, 0 is what predicting the mean gives, below 0 is worse than that. Blocks are those of
    `jackknife.jackknife_r`, and r is the same; many predictions of one response cost less here.
    """

    def __init__(self, measured: Sequence[Array], block_trs: int) -> None:
        self._stories = [_Story(values, block_trs) for values in measured]
        self.story = block_stories([len(values) for values in measured], block_trs)

    def score(self, predicted: Sequence[Array]) -> tuple[Array, Array]:
        """Return (r, share) as (2, v) and without each block of rows as (2, blocks, v); story by story (n_trs, v)."""
        found = [story.score(values) for story, values in zip(self._stories, predicted, strict=True)]
        value = np.mean([whole for whole, _ in found], axis=0)
        n = len(found)
        return value, np.concatenate([value[:, None] + (left - whole[:, None]) / n for whole, left in found], axis=1)


class _Story:
    def __init__(self, measured: Array, block_trs: int) -> None:
        self._m = measured - measured.mean(axis=0)
        self._starts = block_starts(len(measured), block_trs)
        self._rows = (len(measured) - np.diff(np.append(self._starts, len(measured))))[:, None]
        self._sum_m, squares = self._without(self._m), self._without(self._m**2)
        self._whole_m = variation((self._m**2).sum(axis=0), (measured**2).sum(axis=0))
        self._left_m = variation(squares - self._sum_m**2 / self._rows, squares)

    def score(self, predicted: Array) -> tuple[Array, Array]:
        """Return (2, v) of all rows, and (2, blocks, v) without each block."""
        p = predicted - predicted.mean(axis=0)
        products, squares = p * self._m, p * p
        sum_p, cov, var = self._without(p), self._without(products), self._without(squares)
        whole = _r_and_share(
            products.sum(axis=0),
            variation(squares.sum(axis=0), squares.sum(axis=0) + len(p) * predicted.mean(axis=0) ** 2),
            self._whole_m,
        )
        left = _r_and_share(
            cov - sum_p * self._sum_m / self._rows, variation(var - sum_p**2 / self._rows, var), self._left_m
        )
        return whole, np.nan_to_num(left)

    def _without(self, values: Array) -> Array:
        blocks = np.add.reduceat(values, self._starts, axis=0)
        return blocks.sum(axis=0) - blocks


def _r_and_share(cov: Array, var_p: Array, var_m: Array) -> Array:
    known = var_m > 0
    share = np.where(known, (2 * cov - var_p) / np.where(known, var_m, 1.0), np.nan)
    return np.stack([r_from_sums(cov, var_p, var_m), share])
