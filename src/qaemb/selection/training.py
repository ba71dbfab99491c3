"""Training sets of nested cross-validation: all train stories, and these without each fold, as sums over stories.

Folds are of whole stories, the same for all subjects, so that a held-out story is held out from everyone. Test rows
have no part in a training set.

The elastic net depends on the responses through C = X'Y/n alone, and a rotation of the targets rotates its rows without
changing their norms. So C (questions, voxels) can be replaced by any F with F F' = C C': the fit is to all voxels of
all subjects, with at most as many targets as questions, and there are no response components that held-out stories
could leak through. (The paper fits 100 components per subject, each made equally strong, which lets components of
noise count as much as the first.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from qaemb.arrays import Array, Floats, Mask
from qaemb.encoding.plan import Partition, deal_stories
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.ridge import FeatureMoments, TargetMoments, eigenbasis
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space
from qaemb.folds import deal_by_size
from qaemb.selection.elastic_net import Products
from qaemb.selection.greedy import RidgeSums
from qaemb.selection.methods import Training
from qaemb.settings import EncodeSettings, SelectSettings

_FEWEST = 3  # folds
_EVERY = 3  # greedy takes every third penalty
_CELLS = 2**25  # float64 numbers of products held at once
_RELATIVE_ZERO = 1e-14  # an eigenvalue below this share of the largest is rounding


def _shared_stories(recordings: Sequence[Recording]) -> list[str]:
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
    dealt = deal_stories({story: rows[story] for story in _shared_stories(recordings)}, settings)
    return deal_by_size(rows, settings.n_folds, seed=None, dealt=dealt)


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
    stories = _shared_stories(recordings)
    folds = np.array([fold_of[story] for story in stories])
    members = np.stack([folds != fold for fold in range(-1, encode.n_folds)])
    n_halves = select.n_resamples if "stability" in select.methods else 0
    halves = np.vstack([_halves(inside, n_halves, (select.seed, i)) for i, inside in enumerate(members)])
    everything = np.vstack([members, halves])
    products = _training_products(recordings, everything, stories, select.l1_ratio, encode.voxel_block)
    ridge = [_ridge_sums(one, fold_of, select, encode) for one in recordings] if "greedy" in select.methods else []
    sets = []
    for i, inside in enumerate(members):
        rows = np.vstack([space.values[stories[number]] for number in np.flatnonzero(inside)])
        first = len(members) + i * n_halves
        parts = tuple(fold for fold in range(encode.n_folds) if fold != i - 1)
        sets.append(
            Training(
                products=products[i],
                yes_share=_yes_share(rows),
                yes_mean=rows.mean(axis=0, dtype=np.float64),
                halves=tuple(products[first : first + n_halves]),
                ridge=tuple(RidgeSums(x, y, parts) for x, y in ridge),
                ridge_alphas=encode.alphas[::_EVERY],
            )
        )
    return sets


def _halves(members: Mask, n: int, seed: Sequence[int]) -> Mask:
    """Return `n` random halves of the stories of a training set, (n, stories); of an odd number the smaller half."""
    rng = np.random.default_rng(seed)
    inside = np.flatnonzero(members)
    halves = np.zeros((n, len(members)), dtype=np.bool_)
    for half in halves:
        half[rng.choice(inside, max(1, len(inside) // 2), replace=False)] = True
    return halves


def _yes_share(rows: Floats) -> Array:
    """Return each question's share of yes: the mean of answers between 0 and 1, else the share of rows above 0."""
    if rows.min() >= 0.0 and rows.max() <= 1.0:
        return rows.mean(axis=0, dtype=np.float64)
    return (rows > 0).mean(axis=0)


def _ridge_sums(
    recording: Recording, fold_of: Mapping[str, int], select: SelectSettings, encode: EncodeSettings
) -> tuple[FeatureMoments, TargetMoments]:
    """Return the sums over each fold of one subject, for `greedy_voxels` voxels without NaN, drawn at random."""
    partition = Partition.of_folds(recording.train_rows(), fold_of, encode.n_folds)
    responses = _sampled(recording, select.greedy_voxels, select.seed, encode.voxel_block)
    features = partition.features(recording.designs(), recording.n_columns)
    return features, partition.targets(recording.designs(), responses)


def _sampled(recording: Recording, n: int, seed: int, block: int) -> dict[str, Array]:
    """Return train story -> responses (n_trs, at most n) of voxels drawn at random, NaN voxels left out."""
    n_voxels = recording.responses.n_voxels
    drawn = np.zeros(n_voxels, dtype=np.bool_)
    drawn[np.random.default_rng(seed).choice(n_voxels, min(n, n_voxels), replace=False)] = True
    pieces: dict[str, list[Array]] = {story: [] for story in recording.train}
    for voxels in tqdm(recording.blocks(block), desc=f"voxels {recording.subject}", unit="block", leave=False):
        values = recording.read(voxels)
        for story, arrays in pieces.items():
            arrays.append(values.responses[story][:, values.valid & drawn[voxels]])
    return {story: np.hstack(arrays) for story, arrays in pieces.items()}


def _training_products(
    recordings: Sequence[Recording], members: Mask, stories: Sequence[str], l1_ratio: float, block: int
) -> list[Products]:
    """Return the elastic net's problem on each training set; `members` (sets, stories) says which stories it has.

    A problem is X'X/n, and F with F F' = C C' as the module's docstring says.

    X: each question's z-scored answers averaged over the delays, one column a question, so that a question counts with
    the whole window in which it may act (the paper takes the first delay alone). Y: every voxel without NaN, each
    subject scaled to the same total variance over the set. `block`: voxels read at once.
    """
    first = recordings[0]
    x = [_mean_delayed(first.train[story], first.delays) for story in stories]
    n = members @ np.array([len(rows) for rows in x], dtype=np.float64)
    grams = np.tensordot(members.astype(np.float64), np.stack([rows.T @ rows for rows in x]), axes=1)
    squared = sum((_squared(recording, x, members, stories, block) for recording in recordings), np.zeros(()))
    return [
        Products(gram / size, _root(cross) / size, l1_ratio)
        for gram, cross, size in zip(grams, np.asarray(squared), n, strict=True)
    ]


def _squared(recording: Recording, x: Sequence[Array], members: Mask, stories: Sequence[str], block: int) -> Array:
    """Return X'Y Y'X over the sum of squares of Y, (sets, questions, questions), of one subject."""
    n_sets, p = len(members), x[0].shape[1]
    inside = members.astype(np.float64)
    total, squares = np.zeros((n_sets, p, p)), np.zeros(n_sets)
    width = max(1, _CELLS // ((n_sets + len(x)) * p))
    for responses in _responses(recording, stories, block):
        squares += inside @ np.array([(y**2).sum() for y in responses])
        for start in range(0, responses[0].shape[1], width):
            each = np.stack([a.T @ y[:, start : start + width] for a, y in zip(x, responses, strict=True)])
            cross = np.tensordot(inside, each, axes=1)
            total += cross @ cross.transpose(0, 2, 1)
    return total / np.where(squares > 0, squares, 1.0)[:, None, None]


def _mean_delayed(values: Array, delays: Sequence[int]) -> Array:
    """Return (rows, features): each feature's mean over its delayed copies."""
    return delayed(values, delays).reshape(len(values), len(delays), -1).mean(axis=1)


def _responses(recording: Recording, stories: Sequence[str], block: int) -> Iterator[list[Array]]:
    blocks = recording.blocks(block)
    for voxels in tqdm(blocks, desc=f"products {recording.subject}", unit="block", leave=False):
        responses = recording.read(voxels).responses
        yield [responses[story] for story in stories]


def _root(squared: Array) -> Array:
    """Return F, as narrow as possible, with F F' = `squared`."""
    eigenvalues, vectors = eigenbasis(squared)
    large = eigenvalues > _RELATIVE_ZERO * eigenvalues[-1]
    large[-1] = True  # one column of zeros where nothing varies
    return vectors[:, large] * np.sqrt(eigenvalues[large])
