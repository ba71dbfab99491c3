"""Scores of sets: ridge with all delays on the kept questions, on test stories and, for choices, inside train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Integers
from qaemb.encoding.plan import PROTOCOLS, Partition
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.ridge import FeatureMoments, TargetMoments, fit_targets, plan_ridge
from qaemb.encoding.scores import correlation, r_from_sums, variation
from qaemb.settings import EncodeSettings

FoldSet = tuple[int, tuple[int, ...]]  # a fold, and a set of questions proposed without it


@dataclass(frozen=True)
class SetScores:
    """Mean r over the voxels of one subject, of each set: on the test stories, and on the fold of each `FoldSet`."""

    test: Mapping[tuple[int, ...], float]
    nested: Mapping[FoldSet, float]


@dataclass(frozen=True)
class _Split:
    """A partition of the train rows and the sums of the whole design matrix over its parts."""

    partition: Partition
    moments: FeatureMoments


def score_sets(
    recording: Recording,
    sets: Sequence[tuple[int, ...]],
    fold_sets: Sequence[FoldSet],
    fold_of: Mapping[str, int],
    settings: EncodeSettings,
) -> SetScores:
    """Return the scores of different sets, over voxels that have a score.

    An empty set predicts nothing: 0. Test scores follow the protocol of the settings. A fold set is scored on its fold
    by a ridge that is fitted on the other folds, with the penalty of each voxel that predicts these best when each of
    them is held out in turn.
    """
    protocol = _split(recording, PROTOCOLS[settings.protocol](recording.train_rows(), settings))
    folds = _split(recording, Partition.of_folds(recording.train_rows(), fold_of, settings.n_folds))
    test, nested = np.zeros(len(sets)), np.zeros(len(fold_sets))
    n_scored = 0
    blocks = recording.blocks(settings.voxel_block)
    n_steps = len(blocks) * (len(sets) + len(fold_sets))
    with tqdm(total=n_steps, desc=f"sets {recording.subject}", unit="set", leave=False) as bar:
        for voxels in blocks:
            responses = _scored(recording, voxels)
            n_scored += next(iter(responses.values())).shape[1]
            protocol_y = protocol.partition.targets(recording.designs(), responses)
            fold_y = folds.partition.targets(recording.designs(), responses)
            for i, features in enumerate(sets):
                if features:
                    columns = recording.columns(features)
                    test[i] += _test_r(recording, columns, (protocol, protocol_y), responses, settings).sum()
                bar.update()
            for i, (fold, features) in enumerate(fold_sets):
                if features:
                    columns = recording.columns(features)
                    sums = folds.moments.subset(columns), fold_y.subset(columns)
                    nested[i] += _nested_r(*sums, fold, settings.alphas).sum()
                bar.update()
    return SetScores(
        dict(zip(sets, (test / n_scored).tolist(), strict=True)),
        dict(zip(fold_sets, (nested / n_scored).tolist(), strict=True)),
    )


def _nested_r(features: FeatureMoments, targets: TargetMoments, fold: int, alphas: Array) -> Array:
    """Return r on one part of a ridge that has seen the other parts alone, (targets,); 0 where it is undefined.

    Each target's penalty is the one with the highest mean r when each of the other parts is held out from the rest.
    """
    others = [part for part in range(len(features.n)) if part != fold]
    plan = plan_ridge(features.parts(others), [(part,) for part in range(len(others))])
    weights = fit_targets(plan, targets.parts(others), alphas).weights
    n, y, yy = features.n[fold], targets.y[fold], targets.yy[fold]
    sums = features.x[fold] @ weights
    squares = np.einsum("pv,pv->v", weights, features.xx[fold] @ weights)
    cov = np.einsum("pv,pv->v", weights, targets.xy[fold]) - sums * y / n
    r = r_from_sums(cov, variation(squares - sums**2 / n, squares), variation(yy - y**2 / n, yy))
    return np.nan_to_num(r)


def _split(recording: Recording, partition: Partition) -> _Split:
    return _Split(partition, partition.features(recording.designs(), recording.n_columns))


def _scored(recording: Recording, voxels: slice) -> dict[str, Array]:
    """Return story -> responses of the voxels that have no NaN and vary in every test story."""
    block = recording.read(voxels)
    varies = [block.responses[story].std(axis=0) > 0 for story in recording.test]
    scored = block.valid & np.all(varies, axis=0)
    return {story: values[:, scored] for story, values in block.responses.items()}


def _test_r(
    recording: Recording,
    columns: Integers,
    data: tuple[_Split, TargetMoments],
    responses: dict[str, Array],
    settings: EncodeSettings,
) -> Array:
    """Return the mean over test stories of r, (voxels,)."""
    split, targets = data[0], data[1].subset(columns)
    plan = plan_ridge(split.moments.subset(columns), split.partition.held)
    weights = fit_targets(plan, targets, settings.alphas).weights
    scores = [
        correlation(delayed(values, recording.delays)[:, columns] @ weights, responses[story])
        for story, values in recording.test.items()
    ]
    return np.mean(scores, axis=0)
