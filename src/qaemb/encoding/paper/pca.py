"""Principal components of a subject's responses, read in blocks of voxels: all voxels are never in memory at once.

Block Krylov iteration (Musco & Musco, 2015): powers of Y Y' times a random block of vectors, each orthonormalised, span
a space that holds the first components; the components are those of the responses projected on it. Where that space
holds all rows or voxels they are exact; else the last of many nearly equal components may differ a little from an exact
decomposition, as their order is hardly defined by the data either.

Memory: one block of voxels (rows x voxel_block float64), some (6 * (components + 20)) x (rows + voxels) float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array
from qaemb.encoding.ridge import RELATIVE_ZERO, eigenbasis

Blocks = Callable[[], Iterator[tuple[slice, Array]]]
_SPARE = 20  # directions beyond those asked for
_PASSES = 6


@dataclass(frozen=True)
class ResponsePCA:
    """Components of the train responses, largest variance first.

    `mean` (voxels,); `components` (k, voxels), orthonormal rows; `scores` (rows, k), standardised: mean 0 and standard
    deviation 1 (divided by n); `sd` (k,): the standard deviations before; `total_variance`: the sum over voxels.
    """

    mean: Array
    components: Array
    scores: Array
    sd: Array
    total_variance: float


def fit_pca(blocks: Blocks, shape: tuple[int, int], n_components: int, seed: int) -> ResponsePCA:
    """Return at most `n_components` components, fewer where the responses have no more variance to share.

    `blocks()` yields the voxels and values (rows, v) of each block anew at each call, without NaN; `shape` is (rows,
    voxels).
    """
    n_rows, n_voxels = shape
    basis = _row_basis(blocks, shape, n_components, seed)
    mean, projected, total = np.empty(n_voxels), np.empty((basis.shape[1], n_voxels)), 0.0
    for voxels, values in blocks():
        mean[voxels] = values.mean(axis=0)
        centred = values - mean[voxels]
        projected[:, voxels] = basis.T @ centred
        total += float((centred**2).sum()) / n_rows
    eigenvalues, vectors = eigenbasis(projected @ projected.T, RELATIVE_ZERO)
    order = np.argsort(-eigenvalues)[:n_components]
    singular = np.sqrt(eigenvalues[order])
    return ResponsePCA(
        mean=mean,
        components=(vectors[:, order].T @ projected) / singular[:, None],
        scores=basis @ vectors[:, order] * np.sqrt(n_rows),
        sd=singular / np.sqrt(n_rows),
        total_variance=total,
    )


def project(pca: ResponsePCA, blocks: Blocks, n_rows: int) -> Array:
    """Return the scores (n_rows, k) of other responses on the components, not standardised."""
    scores = np.zeros((n_rows, len(pca.components)))
    for voxels, values in blocks():
        scores += (values - pca.mean[voxels]) @ pca.components[:, voxels].T
    return scores


def _row_basis(blocks: Blocks, shape: tuple[int, int], n_components: int, seed: int) -> Array:
    """Return an orthonormal basis (rows, w) of a space of rows that holds the first components."""
    width = min(n_components + _SPARE, *shape)
    block = np.random.default_rng(seed).standard_normal((shape[0], width))
    passes: list[Array] = []
    for _ in tqdm(range(_PASSES), desc="response components", unit="pass", leave=False):
        product = np.zeros_like(block)
        for _, values in blocks():
            centred = values - values.mean(axis=0)
            product += centred @ (centred.T @ block)
        block, _ = np.linalg.qr(product)
        passes.append(block)
    basis, _ = np.linalg.qr(np.hstack(passes)[:, : shape[0]])
    return basis
