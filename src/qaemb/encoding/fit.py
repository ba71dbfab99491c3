"""Fitting and scoring one subject: voxels stream through in blocks, so memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Floats32, Mask
from qaemb.encoding.jackknife import Jackknife, block_stories, jackknife_r
from qaemb.encoding.metrics import SubjectScores
from qaemb.encoding.plan import FitPlan
from qaemb.encoding.recording import Recording, VoxelBlock, delayed
from qaemb.encoding.results import open_arrays
from qaemb.encoding.ridge_cv import AT_ONCE, in_threads
from qaemb.encoding.scores import correlation, noise_ceiling, p_values
from qaemb.encoding.solvers import Solver
from qaemb.errors import BadInput
from qaemb.identity import json_id
from qaemb.settings import EncodeSettings


def fit_voxels(
    recording: Recording, plan: FitPlan, settings: EncodeSettings, solver: Solver, folder: Path
) -> SubjectScores:
    """Return the scores of all voxels of a subject; write weights and predictions to `folder` (`open_arrays`).

    The results don't depend on the number of threads. BadInput if no voxel has a score.
    """
    n, rows = recording.responses.n_voxels, {story: len(values) for story, values in recording.test.items()}
    r, ceiling = np.full((len(rows), n), np.nan), np.full((len(rows), n), np.nan)
    alpha, p, agree = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=bool)
    story = block_stories(list(rows.values()), settings.block_trs)
    left_out = np.zeros(len(story))
    gammas: list[Array] = []
    with open_arrays(folder, recording) as (weights, predicted):
        for block in _fit_blocks(recording, solver, settings):
            voxels = block.voxels
            gammas += [] if block.bands is None else [block.bands]
            r[:, voxels], ceiling[:, voxels], agree[voxels] = block.r, block.ceiling, block.reliable
            alpha[voxels], p[voxels] = block.alpha, block.p
            weights[:, :, voxels] = block.weights.reshape(*weights.shape[:2], -1)
            predicted[:, voxels] = block.predicted
            left_out += block.left_out
    scored = np.isfinite(r).all(axis=0)
    if not scored.any():
        raise BadInput(f"{recording.responses.path}: no voxel is free of NaN in all stories, so there is no score")
    key = [recording.subject, list(rows.items()), settings.block_trs, np.flatnonzero(~scored).tolist(), n]
    mean = Jackknife(r[:, scored].mean(), left_out / scored.sum(), story, json_id(key))
    bands = np.hstack(gammas) if gammas else None
    # A NaN voxel is NaN in every story, so the mean over stories never mixes stories that others have.
    return SubjectScores(recording.subject, rows, r.mean(axis=0), r, ceiling, agree, alpha, p, mean, bands)


@dataclass(frozen=True)
class _BlockFit:
    """One block of v voxels: scores (test stories, v), the model, and what it predicts.

    `predicted` (test rows, v): the test stories one after the other. `left_out` (blocks of rows,): the mean over test
    stories of r without each block, summed over the scored voxels. `p` (v,): NaN where significance is not tested.
    `bands` (bands, v): see `RidgeFit`. Voxels without a score are NaN everywhere.
    """

    voxels: slice
    r: Array
    ceiling: Array
    reliable: Mask
    alpha: Array
    weights: Floats32
    predicted: Floats32
    left_out: Array
    p: Array
    bands: Array | None = None


def _fit_blocks(recording: Recording, solver: Solver, settings: EncodeSettings) -> Iterator[_BlockFit]:
    """Yield model and scores of all voxels, in order."""
    size = AT_ONCE if solver.parallel else settings.voxel_block
    with tqdm(total=recording.responses.n_voxels, desc=recording.subject, unit="voxel", leave=False) as bar:
        for voxels in recording.blocks(settings.voxel_block):
            shares = recording.read(voxels, settings.precision).shares(size)

            def fit(share: VoxelBlock) -> _BlockFit:
                return _fit_block(recording, solver, settings, share)

            for block in in_threads(fit, shares, settings.threads) if solver.parallel else map(fit, shares):
                yield block
                bar.update(block.voxels.stop - block.voxels.start)


def _fit_block(recording: Recording, solver: Solver, settings: EncodeSettings, block: VoxelBlock) -> _BlockFit:
    fit = solver.fit(block)
    predicted = {
        story: delayed(values, recording.delays).astype(fit.weights.dtype) @ fit.weights
        for story, values in recording.test.items()
    }
    r = np.stack([correlation(predicted[story], block.responses[story]) for story in recording.test])
    scored = block.valid & np.isfinite(r).all(axis=0)
    left_out, p = _statistics(predicted, block, scored, settings)
    ceiling, agree = _ceilings(recording, block.voxels)
    blank = np.where(scored, 0.0, np.nan).astype(np.float32)
    return _BlockFit(
        voxels=block.voxels,
        r=r + blank,
        ceiling=ceiling + blank,
        reliable=agree & scored,
        alpha=fit.alpha + blank,
        weights=(fit.weights + blank).astype(np.float32),
        predicted=(np.vstack(list(predicted.values())) + blank).astype(np.float32),
        left_out=left_out,
        p=p,
        bands=None if fit.bands is None else fit.bands + blank,
    )


def _statistics(
    predicted: dict[str, Array], block: VoxelBlock, scored: Mask, settings: EncodeSettings
) -> tuple[Array, Array]:
    """Return `left_out` and `p` of a _BlockFit."""
    ours = [values[:, scored] for values in predicted.values()]
    theirs = [block.responses[story][:, scored] for story in predicted]
    p = np.full(len(scored), np.nan)
    if settings.n_permutations:
        p[scored] = p_values(ours, theirs, settings.n_permutations, settings.seed)
    return jackknife_r(ours, theirs, settings.block_trs).left_out.sum(axis=1), p


def _ceilings(recording: Recording, voxels: slice) -> tuple[Array, Mask]:
    """Return ceilings (test stories, v), NaN for stories without repeats, and which voxels are reliable in any."""
    n = voxels.stop - voxels.start
    ceilings, agree = np.full((len(recording.test), n), np.nan), np.zeros(n, dtype=bool)
    for i, story in enumerate(recording.test):
        repeats = recording.responses.read_repeats(story, voxels)
        if repeats is not None:
            ceilings[i], in_story = noise_ceiling(repeats)
            agree |= in_story
    return ceilings, agree
