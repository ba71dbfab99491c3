"""The elastic net's problem on any set of the shared train stories, from sums over each story; test rows have no part.

The solution depends on the responses through C = X'Y/n alone, and a rotation of the targets rotates its rows without
changing their norms. So C (questions, voxels) can be replaced by any F with F F' = C C': the fit is to all voxels of
all subjects, with at most as many targets as questions, and there are no response components that held-out stories
could leak through. (The paper fits 100 components per subject, each made equally strong, which lets components of
noise count as much as the first.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.design import mean_delayed
from qaemb.encoding.moments import Array
from qaemb.encoding.recording import Recording
from qaemb.selection.elastic_net import Products

_CELLS = 2**25  # float64 numbers of products held at once
_RELATIVE_ZERO = 1e-14  # an eigenvalue below this share of the largest is rounding


def training_products(
    recordings: Sequence[Recording], members: NDArray[np.bool_], stories: Sequence[str], l1_ratio: float, block: int
) -> list[Products]:
    """Return X'X/n and F (above) of each training set; `members` (sets, stories) says which stories it has.

    X: each question's z-scored answers averaged over the delays, one column a question, so that a question counts with
    the whole window in which it may act (the paper takes the first delay alone). Y: every voxel without NaN, each
    subject scaled to the same total variance over the set. `block`: voxels read at once.
    """
    own = recordings[0]
    x = [mean_delayed(own.train[story], own.delays) for story in stories]
    n = members @ np.array([len(rows) for rows in x], dtype=np.float64)
    grams = np.tensordot(members.astype(np.float64), np.stack([rows.T @ rows for rows in x]), axes=1)
    squared = sum((_squared(recording, x, members, stories, block) for recording in recordings), np.zeros(()))
    return [
        Products(gram / size, _root(cross) / size, l1_ratio)
        for gram, cross, size in zip(grams, np.asarray(squared), n, strict=True)
    ]


def _squared(
    recording: Recording, x: Sequence[Array], members: NDArray[np.bool_], stories: Sequence[str], block: int
) -> Array:
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


def _responses(recording: Recording, stories: Sequence[str], block: int) -> Iterator[list[Array]]:
    blocks = recording.blocks(block)
    for voxels in tqdm(blocks, desc=f"products {recording.subject}", unit="block", leave=False):
        responses, _ = recording.read(voxels)
        yield [responses[story] for story in stories]


def _root(squared: Array) -> Array:
    """Return F, as narrow as possible, with F F' = `squared`."""
    eigenvalues, vectors = np.linalg.eigh(squared)
    kept = eigenvalues > _RELATIVE_ZERO * eigenvalues[-1]
    kept[-1] = True  # one column of zeros where nothing varies
    return vectors[:, kept] * np.sqrt(np.maximum(eigenvalues[kept], 0.0))
