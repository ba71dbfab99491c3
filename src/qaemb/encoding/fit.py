"""Fitting and scoring one subject: voxels stream through in blocks, so memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.ceiling import noise_ceiling, reliable
from qaemb.encoding.design import delayed
from qaemb.encoding.jackknife import jackknife_r
from qaemb.encoding.moments import (
    Array,
    FeatureMoments,
    TargetMoments,
    feature_moments,
    target_moments,
)
from qaemb.encoding.protocols import PROTOCOLS, Partition
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import RidgePlan, plan_ridge, row_space
from qaemb.encoding.ridge_cv import AT_ONCE, fit_targets, in_threads
from qaemb.encoding.scores import correlation
from qaemb.encoding.significance import p_values
from qaemb.settings import EncodeSettings


@dataclass(frozen=True)
class BlockFit:
    """One block of v voxels: scores (test stories, v), the model, and what it predicts.

    `predicted` (test rows, v): the test stories one after the other. `left_out` (blocks of rows,): the mean over test
    stories of r without each block, summed over the scored voxels. `p` (v,): NaN where significance is not tested.
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


def alphas_of(settings: EncodeSettings) -> Array:
    """Return the penalties to choose from, in the unit of X'X (a sum over rows, not a mean)."""
    return np.logspace(*settings.alphas_log10)


@dataclass(frozen=True)
class FitPlan:
    """All of a fit that does not depend on the responses; subjects who heard the same train stories share it.

    `basis` (columns, r) spans the rows of the train design matrix where it has more columns than rows, else None.
    `designs` has the design matrix of each train story, in the basis if there is one, in the settings' precision.
    """

    partition: Partition
    basis: Array | None
    ridge: RidgePlan
    designs: dict[str, NDArray[np.floating]]


def plan_fit(recording: Recording, settings: EncodeSettings) -> FitPlan:
    """Return the plan of a recording under the protocol of the settings."""
    partition = PROTOCOLS[settings.protocol](recording.train_rows(), settings)
    basis = None
    if recording.n_columns > sum(recording.train_rows().values()):
        basis = row_space(np.vstack([design for _, design in recording.designs()]))
    ridge = plan_ridge(recording_moments(recording, partition, basis), partition.held, settings.precision)
    designs = {story: _project(design, basis).astype(settings.precision) for story, design in recording.designs()}
    return FitPlan(partition, basis, ridge, designs)


def recording_moments(recording: Recording, partition: Partition, basis: Array | None = None) -> FeatureMoments:
    """Return the moments of a recording's train design matrix, in the basis if one is given."""
    shown = tqdm(recording.designs(), desc="feature products", total=len(recording.train), unit="story", leave=False)
    rows = ((_project(design, basis), partition.part_of[story]) for story, design in shown)
    return feature_moments(rows, partition.n_parts, recording.n_columns if basis is None else basis.shape[1])


def block_moments(recording: Recording, partition: Partition, responses: dict[str, Array]) -> TargetMoments:
    """Return the moments of train responses, story -> (n_trs, v)."""
    rows = ((design, responses[story], partition.part_of[story]) for story, design in recording.designs())
    n_voxels = next(iter(responses.values())).shape[1]
    return target_moments(rows, (partition.n_parts, recording.n_columns, n_voxels))


def fit_blocks(recording: Recording, plan: FitPlan, settings: EncodeSettings) -> Iterator[BlockFit]:
    """Yield model and scores of all voxels, in order; the results don't depend on the number of threads."""
    shown = tqdm(total=recording.responses.n_voxels, desc=recording.subject, unit="voxel", leave=False)
    with shown:
        for voxels in recording.blocks(settings.voxel_block):
            responses, valid = recording.read(voxels, settings.precision)
            parts = [slice(start, start + AT_ONCE) for start in range(0, len(valid), AT_ONCE)]
            shares = [(voxels.start + own.start, (_columns(responses, own), valid[own])) for own in parts]
            for block in in_threads(lambda share: _fit(recording, plan, settings, *share), shares, settings.threads):
                yield block
                shown.update(block.voxels.stop - block.voxels.start)


def fit_block(recording: Recording, plan: FitPlan, settings: EncodeSettings, voxels: slice) -> BlockFit:
    """Return model and scores of a block of voxels; NaN voxels have NaN everywhere."""
    return _fit(recording, plan, settings, voxels.start, recording.read(voxels, settings.precision))


def _fit(
    recording: Recording,
    plan: FitPlan,
    settings: EncodeSettings,
    first: int,
    data: tuple[dict[str, NDArray[Any]], NDArray[np.bool_]],
) -> BlockFit:
    """Return a block's fit from what `Recording.read` returned; `first` is the number of its first voxel."""
    responses, valid = data
    voxels = slice(first, first + len(valid))
    parts = plan.partition
    rows = ((design, responses[story], parts.part_of[story]) for story, design in plan.designs.items())
    n_columns = next(iter(plan.designs.values())).shape[1]
    targets = target_moments(rows, (parts.n_parts, n_columns, len(valid)))
    found = fit_targets(plan.ridge, targets, alphas_of(settings))
    weights = found.weights
    if plan.basis is not None:
        weights = plan.basis.astype(weights.dtype) @ weights
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
    )


def _columns(responses: dict[str, NDArray[Any]], own: slice) -> dict[str, NDArray[Any]]:
    return {story: values[:, own] for story, values in responses.items()}


def _project(design: Array, basis: Array | None) -> Array:
    return design if basis is None else design @ basis


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
