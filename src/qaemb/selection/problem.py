"""The elastic net's problem: features of the shared train stories against response components of all subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qaemb.encoding.design import mean_delayed
from qaemb.encoding.recording import Recording
from qaemb.errors import BadInput
from qaemb.selection.components import Array, components
from qaemb.selection.elastic_net import Products
from qaemb.settings import EncodeSettings, SelectSettings


def build_products(recordings: Sequence[Recording], select: SelectSettings, encode: EncodeSettings) -> Products:
    """Return X'X/n and X'Y/n over the train stories that all subjects heard; test rows have no part.

    X: each question's z-scored answers averaged over the delays, one column a question, so that a question counts with
    the whole window in which it may act (the paper takes the first delay alone). Sets of 10 to 40 of the 86 questions
    of lebel_pcs, so chosen, score within .003 of the published scores (with 100 components and with all 200).
    Y: the first `n_pcs` components of each subject's responses, or the voxels themselves where there are no more than
    that, subjects side by side, scaled to the same total variance. Components keep their own variance, so that the fit
    is to all voxels but for what the components leave out; the paper makes them equal, which lets components of noise
    count as much as the first (on `miniature`, 5 of 38 properties chosen so score .327, with their variance .392).
    """
    shared = [story for story in recordings[0].train if all(story in other.train for other in recordings)]
    if not shared:
        raise BadInput("no train story was heard by all subjects, so questions can't be chosen for all of them at once")
    own = recordings[0]
    x = np.vstack([mean_delayed(own.train[story], own.delays) for story in shared])
    y = np.hstack([_targets(recording, shared, select, encode.voxel_block) for recording in recordings])
    return Products(x.T @ x / len(x), x.T @ y / len(x), select.l1_ratio)


def _targets(recording: Recording, stories: list[str], select: SelectSettings, voxel_block: int) -> Array:
    n_rows = sum(len(recording.train[story]) for story in stories)

    def blocks() -> Iterator[Array]:
        for voxels in recording.blocks(voxel_block):
            responses, _ = recording.read(voxels)
            yield np.vstack([responses[story] for story in stories])

    if recording.responses.n_voxels <= select.n_pcs:
        targets = np.hstack(list(blocks()))
    else:
        targets = components(blocks, n_rows, select.n_pcs, select.seed)
    size = np.linalg.norm(targets)
    return targets / size if size > 0 else targets
