"""Protocols, which say what train rows choose the penalty, and what a fit needs of the features.

Test rows are in no part of a protocol. Protocol `paper` differs in more than its held-out rows and has a fit of its own
(encoding/paper/fit.py); docs/protocols.md compares all. A plan holds folds, products of the features and design
matrices, nothing of the responses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.arrays import Array, Floats, Integers
from qaemb.encoding.recording import Recording
from qaemb.encoding.ridge import FeatureMoments, RidgePlan, Spectrum, TargetMoments, plan_ridge
from qaemb.errors import BadInput, BadParameter
from qaemb.folds import deal_by_size
from qaemb.settings import EncodeSettings

_PAPER_SHARE = 0.18  # of the paper's train rows, held out in a draw


@dataclass(frozen=True)
class Partition:
    """Train rows cut into parts: story -> part of each row (n_trs,), and the sets of parts that are held out in turn.

    Every held-out set is a union of parts, and sets may overlap. The penalty is the one whose correlation on the
    held-out sets, averaged over them, is highest; the model is then fitted on all parts.
    """

    part_of: dict[str, Integers]
    n_parts: int
    held: tuple[tuple[int, ...], ...]

    @classmethod
    def of_folds(cls, n_rows: Mapping[str, int], fold_of: Mapping[str, int], n_folds: int) -> Partition:
        """Return folds of whole stories, each held out once; `n_rows` is story -> rows, `fold_of` story -> fold."""
        part_of = {story: np.full(n, fold_of[story]) for story, n in n_rows.items()}
        return cls(part_of, n_folds, tuple((fold,) for fold in range(n_folds)))

    def features(self, designs: Iterable[tuple[str, Array]], n_columns: int) -> FeatureMoments:
        """Return the moments of design matrices (n_trs, n_columns) of the train stories, given with their names."""
        bar = tqdm(designs, desc="feature products", total=len(self.part_of), unit="story", leave=False)
        rows = ((design, self.part_of[story]) for story, design in bar)
        return FeatureMoments.of_rows(rows, self.n_parts, n_columns)

    def targets(self, designs: Iterable[tuple[str, Floats]], responses: Mapping[str, Floats]) -> TargetMoments:
        """Return the moments of responses, story -> (n_trs, v), with the design matrices of the same stories."""
        pairs = iter(designs)
        first = next(pairs)
        rows = ((design, responses[story], self.part_of[story]) for story, design in (first, *pairs))
        return TargetMoments.of_rows(rows, (self.n_parts, first[1].shape[1], responses[first[0]].shape[1]))


def deal_stories(n_rows: Mapping[str, int], settings: EncodeSettings) -> dict[str, int]:
    """Return story -> one of `n_folds` folds, about equal in rows; `n_rows` is story -> rows.

    BadInput if there are fewer stories than folds.
    """
    if len(n_rows) < settings.n_folds:
        raise BadInput(f"{len(n_rows)} train stories can't make {settings.n_folds} folds; lower encode.n_folds")
    return deal_by_size(n_rows, settings.n_folds, settings.seed)


def _strict(n_rows: Mapping[str, int], settings: EncodeSettings) -> Partition:
    return Partition.of_folds(n_rows, deal_stories(n_rows, settings), settings.n_folds)


def _reference(n_rows: Mapping[str, int], settings: EncodeSettings) -> Partition:
    """Return two parts: the last `holdout` of all train rows, in the order of the stories, is held out once.

    The protocol of the reference scores on lebel_pcs; the cut may fall inside a story, so held-out
    rows lie next to train rows.
    """
    lengths = np.array(list(n_rows.values()))
    cut = round(int(lengths.sum()) * (1.0 - settings.holdout))
    parts = np.split((np.arange(lengths.sum()) >= cut).astype(np.int64), np.cumsum(lengths)[:-1])
    return Partition(dict(zip(n_rows, parts, strict=True)), 2, ((1,),))


def random_chunks(n_rows: Mapping[str, int], settings: EncodeSettings) -> Partition:
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


def _refuse_paper(n_rows: Mapping[str, int], settings: EncodeSettings) -> Partition:
    raise BadParameter(
        "encode.protocol: `paper` belongs to the stage `encode` alone; for anything else that is fitted set `strict`"
    )


PROTOCOLS: dict[str, Callable[[Mapping[str, int], EncodeSettings], Partition]] = {
    "strict": _strict,
    "reference": _reference,
    "paper": _refuse_paper,
}


@dataclass(frozen=True)
class FitPlan:
    """All of a fit that does not depend on the responses; subjects who heard the same train stories share it.

    `basis` (columns, r) spans the rows of the train design matrix where it has more columns than rows, else None.
    `designs` has the design matrix of each train story, in the basis if there is one, in the settings' precision.
    """

    partition: Partition
    basis: Array | None
    ridge: RidgePlan
    designs: dict[str, Floats]


def plan_fit(recording: Recording, settings: EncodeSettings, reduce: bool = True) -> FitPlan:
    """Return the plan of a recording under the protocol of the settings; without a basis if `reduce` is False."""
    with threadpool_limits(settings.threads, "blas"):
        partition = PROTOCOLS[settings.protocol](recording.train_rows(), settings)
        basis = None
        if reduce and recording.is_wide:
            basis = Spectrum.of_rows(np.vstack([design for _, design in recording.designs()])).vectors
        n_columns = recording.n_columns if basis is None else basis.shape[1]
        moments = partition.features(in_basis(recording.designs(), basis), n_columns)
        ridge = plan_ridge(moments, partition.held, settings.precision)
        designs = {s: design.astype(settings.precision) for s, design in in_basis(recording.designs(), basis)}
        return FitPlan(partition, basis, ridge, designs)


def in_basis(designs: Iterable[tuple[str, Array]], basis: Array | None) -> Iterator[tuple[str, Array]]:
    """Yield design matrices (n_trs, columns), with the names of their stories, in a basis; None: as they are."""
    for story, design in designs:
        yield story, design if basis is None else design @ basis
