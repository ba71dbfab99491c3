"""What a fit is planned from: folds, products of the features, design matrices; nothing of the responses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments, feature_moments, target_moments
from qaemb.encoding.protocols import PROTOCOLS, Partition
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import RidgePlan, plan_ridge, row_space
from qaemb.settings import EncodeSettings


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


def plan_fit(recording: Recording, settings: EncodeSettings, reduce: bool = True) -> FitPlan:
    """Return the plan of a recording under the protocol of the settings; without a basis if `reduce` is False."""
    with threadpool_limits(settings.threads, "blas"):
        partition = PROTOCOLS[settings.protocol](recording.train_rows(), settings)
        basis = None
        if reduce and recording.n_columns > sum(recording.train_rows().values()):
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


def _project(design: Array, basis: Array | None) -> Array:
    return design if basis is None else design @ basis
