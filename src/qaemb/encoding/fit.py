"""Fitting and scoring one subject: voxels stream through in blocks, so memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.jackknife import jackknife_r
from qaemb.encoding.moments import Array
from qaemb.encoding.plan import FitPlan
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.ridge_cv import AT_ONCE, in_threads
from qaemb.encoding.scores import correlation, noise_ceiling, p_values, reliable
from qaemb.encoding.solvers import Solver, statistics_solver
from qaemb.settings import EncodeSettings

_Data = tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]  # what `Recording.read` returns


@dataclass(frozen=True)
class BlockFit:
    """One block of v voxels: scores (test stories, v), the model, and what it predicts.

    `predicted` (test rows, v): the test stories one after the other. `left_out` (blocks of rows,): the mean over test
    stories of r without each block, summed over the scored voxels. `p` (v,): NaN where significance is not tested.
    `bands` (bands, v): see `RidgeFit`.
    """

    voxels: slice
    r: Array
    ceiling: Array
    reliable: NDArray[np.bool_]
    alpha: Array
    weights: NDArray[np.float32]
    predicted: NDArray[np.float32]
    left_out: Array
    p: Array
    bands: Array | None = None


def fit_blocks(
    recording: Recording, plan: FitPlan, settings: EncodeSettings, solver: Solver | None = None
) -> Iterator[BlockFit]:
    """Yield model and scores of all voxels, in order; the results don't depend on the number of threads.

    Without a `solver` the fit is plain ridge from sums.
    """
    solver = solver or statistics_solver(plan, settings)
    size = AT_ONCE if solver.parallel else settings.voxel_block
    with tqdm(total=recording.responses.n_voxels, desc=recording.subject, unit="voxel", leave=False) as shown:
        for voxels in recording.blocks(settings.voxel_block):
            responses, valid = recording.read(voxels, settings.precision)
            parts = [slice(start, start + size) for start in range(0, len(valid), size)]
            shares = [(voxels.start + own.start, (_columns(responses, own), valid[own])) for own in parts]

            def fit(share: tuple[int, _Data], solver: Solver = solver) -> BlockFit:
                return _fit(recording, solver, settings, *share)

            for block in in_threads(fit, shares, settings.threads) if solver.parallel else map(fit, shares):
                yield block
                shown.update(block.voxels.stop - block.voxels.start)


def fit_block(recording: Recording, plan: FitPlan, settings: EncodeSettings, voxels: slice) -> BlockFit:
    """Return model and scores of a block of voxels, by plain ridge from sums; NaN voxels have NaN everywhere."""
    data = recording.read(voxels, settings.precision)
    return _fit(recording, statistics_solver(plan, settings), settings, voxels.start, data)


def _fit(recording: Recording, solver: Solver, settings: EncodeSettings, first: int, data: _Data) -> BlockFit:
    """Return a block's fit from what `Recording.read` returned; `first` is the number of its first voxel."""
    responses, valid = data
    voxels = slice(first, first + len(valid))
    found = solver.fit(responses, voxels)
    weights = found.weights
    predicted = {
        story: delayed(values, recording.delays).astype(weights.dtype) @ weights
        for story, values in recording.test.items()
    }
    r = np.stack([correlation(predicted[story], responses[story]) for story in recording.test])
    scored = valid & np.isfinite(r).all(axis=0)
    left_out, p = _statistics(predicted, responses, scored, settings)
    ceilings, agree = _ceilings(recording, voxels)
    blank = np.where(scored, 0.0, np.nan).astype(np.float32)
    return BlockFit(
        voxels=voxels,
        r=r + blank,
        ceiling=ceilings + blank,
        reliable=agree & scored,
        alpha=found.alpha + blank,
        weights=(weights + blank).astype(np.float32),
        predicted=(np.vstack(list(predicted.values())) + blank).astype(np.float32),
        left_out=left_out,
        p=p,
        bands=None if found.bands is None else found.bands + blank,
    )


def _columns(responses: dict[str, NDArray[Any]], own: slice) -> dict[str, NDArray[Any]]:
    return {story: values[:, own] for story, values in responses.items()}


def _statistics(
    predicted: dict[str, Array], responses: dict[str, Array], scored: NDArray[np.bool_], settings: EncodeSettings
) -> tuple[Array, Array]:
    """Return `left_out` and `p` of a BlockFit."""
    ours = [values[:, scored] for values in predicted.values()]
    theirs = [responses[story][:, scored] for story in predicted]
    p = np.full(len(scored), np.nan)
    if settings.n_permutations:
        p[scored] = p_values(ours, theirs, settings.n_permutations, settings.seed)
    return jackknife_r(ours, theirs, settings.block_trs).left_out.sum(axis=1), p


def _ceilings(recording: Recording, voxels: slice) -> tuple[Array, NDArray[np.bool_]]:
    """Return ceilings (test stories, v), NaN for stories without repeats, and which voxels are reliable in any."""
    n = voxels.stop - voxels.start
    ceilings, agree = np.full((len(recording.test), n), np.nan), np.zeros(n, dtype=bool)
    for i, story in enumerate(recording.test):
        repeats = recording.responses.read_repeats(story, voxels)
        if repeats is not None:
            ceilings[i] = noise_ceiling(repeats)
            agree |= reliable(repeats)
    return ceilings, agree
