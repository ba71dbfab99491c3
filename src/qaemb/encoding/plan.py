"""Protocols: which train rows choose the penalty. Test rows are in none of them.

Protocol `paper` differs in more than that and has a fit of its own (encoding/paper/fit.py);
docs/protocols.md compares all.

What a fit is planned from: folds, products of the features, design matrices; nothing of the responses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.encoding.moments import Array, FeatureMoments, TargetMoments, feature_moments, target_moments
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import RidgePlan, plan_ridge, row_space
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import EncodeSettings

_PAPER_SHARE = 0.18  # of the paper's train rows, held out in a draw


@dataclass(frozen=True)
class Partition:
    """Train rows cut into parts: story -> part of each row (n_trs,), and the sets of parts that are held out in turn.

    Every held-out set is a union of parts, and sets may overlap. The penalty is the one whose correlation on the
    held-out sets, averaged over them, is highest; the model is then fitted on all parts.
    """

    part_of: dict[str, NDArray[np.int64]]
    n_parts: int
    held: tuple[tuple[int, ...], ...]


def strict(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    """Return `n_folds` folds of whole stories, about equal in rows, each held out once.

    Stories are dealt in an order drawn from the seed, each to the fold with the fewest rows so far. BadInput if there
    are fewer stories than folds.
    """
    if len(n_rows) < settings.n_folds:
        raise BadInput(f"{len(n_rows)} train stories can't make {settings.n_folds} folds; lower encode.n_folds")
    names = list(n_rows)
    order = np.random.default_rng(settings.seed).permutation(len(names))
    filled = np.zeros(settings.n_folds, dtype=np.int64)
    fold_of = {}
    for name in (names[i] for i in order):
        fold = int(filled.argmin())
        fold_of[name] = np.full(n_rows[name], fold)
        filled[fold] += n_rows[name]
    return Partition(
        {name: fold_of[name] for name in names}, settings.n_folds, tuple((fold,) for fold in range(settings.n_folds))
    )


def reference(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    """Return two parts: the last `holdout` of all train rows, in the order of the stories, is held out once.

    The protocol of the reference scores on lebel_pcs; the cut may fall inside a story, so held-out
    rows lie next to train rows.
    """
    lengths = np.array(list(n_rows.values()))
    cut = round(int(lengths.sum()) * (1.0 - settings.holdout))
    parts = np.split((np.arange(lengths.sum()) >= cut).astype(np.int64), np.cumsum(lengths)[:-1])
    return Partition(dict(zip(n_rows, parts, strict=True)), 2, ((1,),))


def random_chunks(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    """Return `n_bootstraps` held-out sets of `n_chunks` chunks of `chunk_trs` rows, drawn at random each time.

    Chunks are cut from all train rows in the order of the stories, whatever story they fall in, so held-out rows lie
    next to train rows of their own story; rows after the last whole chunk are never held out. Protocol `paper` (the
    paper's five draws of 125 chunks of 40 TRs hold out 18 % of its rows). A part is what the same draws hold out.
    BadParameter if there are not more chunks than a draw holds out.
    """
    total = sum(n_rows.values())
    n_whole = total // settings.chunk_trs
    if n_whole <= settings.n_chunks:
        fitting = f"{max(1, round(_PAPER_SHARE * n_whole))} would be the paper's 18 %"
        raise BadParameter(
            f"encode.n_chunks: {settings.n_chunks} chunks of {settings.chunk_trs} TRs can't be held out of {n_whole} "
            f"({total} train rows); {fitting if n_whole > 1 else 'lower encode.chunk_trs'}"
        )
    rng = np.random.default_rng(settings.seed)
    drawn = np.zeros((total, settings.n_bootstraps), dtype=bool)
    for draw in range(settings.n_bootstraps):
        for chunk in rng.permutation(n_whole)[: settings.n_chunks]:
            drawn[chunk * settings.chunk_trs : (chunk + 1) * settings.chunk_trs, draw] = True
    patterns, part_of = np.unique(drawn, axis=0, return_inverse=True)
    held = tuple(tuple(np.flatnonzero(pattern).tolist()) for pattern in patterns.T)
    parts = np.split(part_of.ravel(), np.cumsum(list(n_rows.values()))[:-1])
    return Partition(dict(zip(n_rows, parts, strict=True)), len(patterns), held)


def _refuse_paper(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    raise BadParameter(
        "encode.protocol: `paper` belongs to the stage `encode` alone; for anything else that is fitted set `strict`"
    )


PROTOCOLS: dict[str, Callable[[dict[str, int], EncodeSettings], Partition]] = {
    "strict": strict,
    "reference": reference,
    "paper": _refuse_paper,
}


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
