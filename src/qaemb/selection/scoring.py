"""Scores of subsets: ridge with all delays on the kept questions, on test stories and, for choices, inside train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.design import delayed, delayed_columns
from qaemb.encoding.fit import alphas_of, block_moments, recording_moments
from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments
from qaemb.encoding.protocols import PROTOCOLS, Partition
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import choose_alphas, held_out_r, plan_ridge, solve
from qaemb.encoding.scores import correlation
from qaemb.settings import EncodeSettings

_Columns = NDArray[np.int64]


@dataclass(frozen=True)
class SubsetScores:
    """Mean over voxels of one subject: test r (subsets,), and r on each held-out fold of train (subsets, folds)."""

    test: Array
    folds: Array


@dataclass(frozen=True)
class _Split:
    """A partition of the train rows and the sums of the whole design matrix over its parts."""

    partition: Partition
    moments: FeatureMoments


def score_subsets(
    recording: Recording, subsets: Sequence[Sequence[int]], settings: EncodeSettings, n_choice: int
) -> SubsetScores:
    """Return the scores of subsets of the features, on voxels that have a score.

    Test scores follow the protocol. Folds are those of protocol `strict` whatever the protocol is, as a single
    held-out part says nothing of its own error; only the first `n_choice` subsets get them, the others NaN.
    """
    splits = {name: _split(recording, settings, name) for name in dict.fromkeys((settings.protocol, "strict"))}
    test, folds = np.zeros(len(subsets)), np.full((len(subsets), settings.n_folds), np.nan)
    folds[:n_choice] = 0.0
    n_scored = 0
    blocks = recording.blocks(settings.voxel_block)
    with tqdm(total=len(blocks) * len(subsets), desc=f"subsets {recording.subject}", unit="set", leave=False) as bar:
        for voxels in blocks:
            responses, valid = recording.read(voxels)
            varies = [responses[story].std(axis=0) > 0 for story in recording.test]
            scored = valid & np.all(varies, axis=0)
            kept = {story: values[:, scored] for story, values in responses.items()}
            n_scored += int(scored.sum())
            targets = {name: block_moments(recording, split.partition, kept) for name, split in splits.items()}
            for i, features in enumerate(subsets):
                columns = delayed_columns(features, recording.n_features, len(recording.delays))
                protocol = splits[settings.protocol], targets[settings.protocol]
                test[i] += _test_r(recording, columns, protocol, kept, settings).sum()
                if i < n_choice:
                    folds[i] += _fold_r(columns, (splits["strict"], targets["strict"]), settings).sum(axis=1)
                bar.update()
    return SubsetScores(test / n_scored, folds / n_scored)


def _split(recording: Recording, settings: EncodeSettings, protocol: str) -> _Split:
    partition = PROTOCOLS[protocol](recording.train_rows(), settings)
    return _Split(partition, recording_moments(recording, partition))


def _test_r(
    recording: Recording,
    columns: _Columns,
    data: tuple[_Split, TargetMoments],
    responses: dict[str, Array],
    settings: EncodeSettings,
) -> Array:
    """Return the mean over test stories of r, (voxels,)."""
    split, targets = data[0], data[1].subset(columns)
    plan = plan_ridge(split.moments.subset(columns), split.partition.held)
    alpha, _ = choose_alphas(held_out_r(plan, targets, alphas_of(settings)), alphas_of(settings))
    weights = solve(plan, targets, alpha)
    scores = [
        correlation(delayed(values, recording.delays)[:, columns] @ weights, responses[story])
        for story, values in recording.test.items()
    ]
    return np.mean(scores, axis=0)


def _fold_r(columns: _Columns, data: tuple[_Split, TargetMoments], settings: EncodeSettings) -> Array:
    """Return r on each held-out fold at the alpha that is best over all of them, (folds, voxels)."""
    split, targets = data[0], data[1].subset(columns)
    plan = plan_ridge(split.moments.subset(columns), split.partition.held)
    scores = held_out_r(plan, targets, alphas_of(settings))
    best = scores.mean(axis=0).argmax(axis=0)
    return np.take_along_axis(scores, best[None, None], axis=1)[:, 0]
