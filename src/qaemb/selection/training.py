"""Training sets of nested cross-validation: all train stories, and these without each fold, as sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.design import delayed
from qaemb.encoding.moments import FeatureMoments, TargetMoments, target_moments
from qaemb.encoding.plan import alphas_of, recording_moments
from qaemb.encoding.recording import Recording
from qaemb.features.space import Space
from qaemb.selection.folds import fold_partition, shared_stories
from qaemb.selection.greedy import RidgeSums
from qaemb.selection.methods import Training
from qaemb.selection.problem import training_products
from qaemb.settings import EncodeSettings, SelectSettings

_EVERY = 3  # greedy takes every third penalty


def training_sets(
    recordings: Sequence[Recording],
    space: Space,
    fold_of: Mapping[str, int],
    select: SelectSettings,
    encode: EncodeSettings,
) -> list[Training]:
    """Return all train stories first, then these without fold 0, 1, ...: n_folds + 1 training sets.

    The elastic net sees the stories that all subjects heard, greedy all of each subject's. `space` has the raw answers.
    """
    stories = shared_stories(recordings)
    folds = np.array([fold_of[story] for story in stories])
    members = np.stack([folds != fold for fold in range(-1, encode.n_folds)])
    n_halves = select.n_resamples if "stability" in select.methods else 0
    halves = np.vstack([_halves(own, n_halves, (select.seed, i)) for i, own in enumerate(members)])
    asked = np.vstack([members, halves])
    products = training_products(recordings, asked, stories, select.l1_ratio, encode.voxel_block)
    ridge = [_ridge_sums(own, fold_of, select, encode) for own in recordings] if "greedy" in select.methods else []
    sets = []
    for i, own in enumerate(members):
        rows = np.vstack([space.values[story] for story, inside in zip(stories, own, strict=True) if inside])
        first = len(members) + i * n_halves
        parts = tuple(fold for fold in range(encode.n_folds) if fold != i - 1)
        sets.append(
            Training(
                products=products[i],
                yes_share=_yes_share(rows),
                yes_mean=rows.mean(axis=0, dtype=np.float64),
                halves=tuple(products[first : first + n_halves]),
                ridge=tuple(RidgeSums(x, y, parts) for x, y in ridge),
                ridge_alphas=alphas_of(encode)[::_EVERY],
            )
        )
    return sets


def _halves(members: NDArray[np.bool_], n: int, seed: Sequence[int]) -> NDArray[np.bool_]:
    """Return `n` random halves of the stories of a training set, (n, stories); of an odd number the smaller half."""
    rng = np.random.default_rng(seed)
    inside = np.flatnonzero(members)
    halves = np.zeros((n, len(members)), dtype=np.bool_)
    for half in halves:
        half[rng.choice(inside, max(1, len(inside) // 2), replace=False)] = True
    return halves


def _yes_share(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each question's share of yes: the mean of answers between 0 and 1, else the share of rows above 0."""
    if rows.min() >= 0.0 and rows.max() <= 1.0:
        return rows.mean(axis=0, dtype=np.float64)
    return (rows > 0).mean(axis=0)


def _ridge_sums(
    recording: Recording, fold_of: Mapping[str, int], select: SelectSettings, encode: EncodeSettings
) -> tuple[FeatureMoments, TargetMoments]:
    """Return the sums over each fold of one subject, for `greedy_voxels` voxels without NaN, drawn at random."""
    partition = fold_partition(recording, fold_of, encode.n_folds)
    responses = _sampled(recording, select.greedy_voxels, select.seed, encode.voxel_block)
    n_voxels = next(iter(responses.values())).shape[1]
    rows = (
        (delayed(values, recording.delays), responses[story], partition.part_of[story])
        for story, values in recording.train.items()
    )
    shape = (encode.n_folds, recording.n_columns, n_voxels)
    return recording_moments(recording, partition), target_moments(rows, shape)


def _sampled(recording: Recording, n: int, seed: int, block: int) -> dict[str, NDArray[np.float64]]:
    """Return train story -> responses (n_trs, at most n) of voxels drawn at random, NaN voxels left out."""
    n_voxels = recording.responses.n_voxels
    drawn = np.zeros(n_voxels, dtype=np.bool_)
    drawn[np.random.default_rng(seed).choice(n_voxels, min(n, n_voxels), replace=False)] = True
    pieces: dict[str, list[NDArray[np.float64]]] = {story: [] for story in recording.train}
    for voxels in tqdm(recording.blocks(block), desc=f"voxels {recording.subject}", unit="block", leave=False):
        responses, valid = recording.read(voxels)
        for story, own in pieces.items():
            own.append(responses[story][:, valid & drawn[voxels]])
    return {story: np.hstack(own) for story, own in pieces.items()}
