"""r over all test rows at once, stories laid end to end: the score of protocol `paper`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qaemb.encoding.jackknife import block_starts
from qaemb.encoding.moments import Array
from qaemb.encoding.scores import r_from_sums, variation


def concatenated_r(predicted: Array, measured: Array, n_rows: Sequence[int], block_trs: int) -> tuple[Array, Array]:
    """Return each voxel's r over all rows, (voxels,), and without each block of rows, (blocks, voxels).

    The arrays are (rows, voxels); `n_rows` are the rows of each story, with the blocks of `jackknife.jackknife_r`.
    Rows where the measured value is NaN are left out of their voxel; r is 0 where it is not defined.
    """
    known = np.isfinite(measured)
    n_known = np.maximum(known.sum(axis=0), 1)
    p, m = (np.where(known, own, 0.0) for own in (predicted, measured))
    squares = (p**2).sum(axis=0), (m**2).sum(axis=0)
    p, m = (np.where(known, own - own.sum(axis=0) / n_known, 0.0) for own in (p, m))
    offsets = np.cumsum([0, *n_rows[:-1]])
    starts = np.concatenate([first + block_starts(n, block_trs) for first, n in zip(offsets, n_rows, strict=True)])
    blocks = [np.add.reduceat(own, starts, axis=0) for own in (known.astype(np.float64), p, m, p * m, p**2, m**2)]
    totals = [sums.sum(axis=0) for sums in blocks]
    whole = _r(totals, squares)
    without = _r([total - sums for total, sums in zip(totals, blocks, strict=True)], squares)
    return whole, without


def _r(sums: Sequence[Array], squares: tuple[Array, Array]) -> Array:
    """Return r from rows, sums, products and squares; variances below the rounding of `squares` are none."""
    n, p, m, pm, pp, mm = sums
    n = np.maximum(n, 1)
    var_p, var_m = pp - p**2 / n, mm - m**2 / n
    r = r_from_sums(pm - p * m / n, variation(var_p, squares[0]), variation(var_m, squares[1]))
    return np.nan_to_num(r)
