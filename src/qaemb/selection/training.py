"""Folds of whole train stories, the same for all subjects, so that a held-out story is held out from everyone.

Training sets of nested cross-validation: all train stories, and these without each fold, as sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.moments import FeatureMoments, TargetMoments, target_moments
from qaemb.encoding.plan import Partition, alphas_of, recording_moments, strict
from qaemb.encoding.recording import Recording, delayed
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space
from qaemb.selection.elastic_net import training_products
from qaemb.selection.greedy import RidgeSums
from qaemb.selection.methods import Training
from qaemb.settings import EncodeSettings, SelectSettings

_FEWEST = 3


def shared_stories(recordings: Sequence[Recording]) -> list[str]:
    """Return the train stories that all subjects heard; BadInput if there is none."""
    shared = [story for story in recordings[0].train if all(story in other.train for other in recordings)]
    if not shared:
        raise BadInput("no train story was heard by all subjects, so questions can't be chosen for all of them at once")
    return shared


def story_folds(recordings: Sequence[Recording], settings: EncodeSettings) -> dict[str, int]:
    """Return train story -> fold, for the stories of all subjects.

    Stories that all heard are dealt as under protocol `strict`, so that every subject has rows in every fold; each
    other story goes to the fold with the fewest rows so far. BadParameter if there are fewer than three folds: one is
    scored on, one chooses the penalty, one is fitted on. BadInput if all heard fewer stories than there are folds.
    """
    if settings.n_folds < _FEWEST:
        raise BadParameter(f"encode.n_folds: {settings.n_folds}; selection needs at least {_FEWEST} folds of stories")
    rows = {story: n for recording in recordings for story, n in recording.train_rows().items()}
    shared = shared_stories(recordings)
    dealt = strict({story: rows[story] for story in shared}, settings)
    fold_of = {story: int(parts[0]) for story, parts in dealt.part_of.items()}
    filled = np.zeros(settings.n_folds, dtype=np.int64)
    for story, fold in fold_of.items():
        filled[fold] += rows[story]
    for story, n in rows.items():
        if story not in fold_of:
            fold_of[story] = int(filled.argmin())
            filled[fold_of[story]] += n
    return fold_of


def fold_partition(recording: Recording, fold_of: Mapping[str, int], n_folds: int) -> Partition:
    """Return a subject's train rows cut into these folds, each held out once."""
    part_of = {story: np.full(n, fold_of[story]) for story, n in recording.train_rows().items()}
    return Partition(part_of, n_folds, tuple((fold,) for fold in range(n_folds)))


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
