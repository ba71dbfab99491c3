"""Delays over stories laid end to end, as protocol `paper` has them; `design.delayed` keeps them inside a story.

Protocol `paper`: the encoding models of QA-Emb (arXiv 2405.16714) as its published code fits them.

1. Features z-scored per story are laid end to end and delayed by 1 to k TRs; train and test each on their own.
2. NaN responses become the mean of all others, over all voxels. The first `n_components` principal components of the
   train responses, standardised, are what is fitted.
3. Ridge without intercept. Each component takes the penalty with the highest mean r over random draws of held-out
   chunks (`protocols.random_chunks`), and is fitted again on all train rows.
4. Predicted components take mean and standard deviation of the components **of the test responses**, and are turned
   back into voxels. A voxel's r is taken over all test rows at once, where its response is known; an undefined r is 0.

The paper's code divides by s^2 + alpha^2 for singular values s, so its alphas 10^1..10^4 are penalties 10^2..10^8 here
(`alphas_log10` [2, 8, 12]). It drops singular values below 1e-10, which with such penalties changes nothing.
docs/protocols.md compares this with protocol `strict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.jackknife import concatenated_r
from qaemb.encoding.moments import Array, feature_moments, target_moments
from qaemb.encoding.paper.pca import Blocks, ResponsePCA, fit_pca, project
from qaemb.encoding.plan import Partition, alphas_of, random_chunks
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.ridge import RidgePlan, choose_alphas, held_out_r, plan_ridge, row_space, solve
from qaemb.errors import BadInput
from qaemb.settings import EncodeSettings


def stacked_designs(stories: Mapping[str, Array], delays: Sequence[int]) -> Iterator[tuple[str, Array]]:
    """Yield name and design matrix (n_trs, delays * features) of each story, delayed as if all were one long story.

    The first rows of a story hold the last features of the story before it; only the very first story begins in zeros.

    >>> dict(stacked_designs({"a": np.array([[1.0], [2.0]]), "b": np.array([[3.0], [4.0]])}, [1]))["b"].tolist()
    [[2.0], [3.0]]
    """
    before: Array | None = None
    for story, values in stories.items():
        joined = values if before is None else np.vstack([before, values])
        yield story, delayed(joined, delays)[len(joined) - len(values) :]
        before = joined[max(0, len(joined) - max(delays)) :]


@dataclass(frozen=True)
class PaperPlan:
    """All of a fit that does not depend on the responses; subjects who heard the same train stories share it.

    `basis` (columns, r) spans the rows of the train design matrix where it has more columns than rows, else None.
    """

    partition: Partition
    basis: Array | None
    ridge: RidgePlan


@dataclass(frozen=True)
class ComponentFit:
    """The model of a subject's response components.

    `alpha`, `tuning_r` (k,): the penalty chosen for each component, and its mean held-out r; `weights` (columns, k), of
    standardised components; `predicted` (test rows, k) by them; `test_mean`, `test_sd` (k,): of the test responses.
    """

    pca: ResponsePCA
    alpha: Array
    tuning_r: Array
    weights: NDArray[np.floating]
    predicted: Array
    test_mean: Array
    test_sd: Array

    @property
    def mean_tuning_r(self) -> float:
        """The mean held-out r, weighted with the components' variance: what the paper chooses models by."""
        return float((self.pca.sd**2 * self.tuning_r).sum() / (self.pca.sd**2).sum())


@dataclass(frozen=True)
class PaperBlock:
    """One block of v voxels.

    `r` (v,) over all test rows; `story_r` (test stories, v); `weights` (columns, v); `predicted` (test rows, v);
    `left_out` (blocks of rows, v): r without each block.
    """

    voxels: slice
    r: Array
    story_r: Array
    weights: NDArray[np.float32]
    predicted: NDArray[np.float32]
    left_out: Array


def plan_paper(recording: Recording, settings: EncodeSettings) -> PaperPlan:
    """Return the plan of a recording.

    Memory: at most 2^n_bootstraps matrices (columns, columns) float64, one for each set of draws that hold a row out,
    and three more for each draw. With the paper's 5 draws and 674 questions x 8 delays that is some 11 GB.
    """
    partition = random_chunks(recording.train_rows(), settings)
    basis = None
    if recording.n_columns > sum(recording.train_rows().values()):
        basis = row_space(np.vstack([design for _, design in stacked_designs(recording.train, recording.delays)]))
    rows = ((design, partition.part_of[story]) for story, design in _designs(recording, basis))
    n_columns = recording.n_columns if basis is None else basis.shape[1]
    moments = feature_moments(rows, partition.n_parts, n_columns)
    return PaperPlan(partition, basis, plan_ridge(moments, partition.held))


def fit_components(recording: Recording, plan: PaperPlan, settings: EncodeSettings) -> ComponentFit:
    """Return the model of the subject's response components; BadInput if all responses are NaN."""
    train, test = list(recording.train), list(recording.test)
    n_train, n_test = (sum(map(len, own.values())) for own in (recording.train, recording.test))
    shape = (n_train, recording.responses.n_voxels)
    pca = fit_pca(_filled(recording, train, settings), shape, settings.n_components, settings.seed)
    scores = np.split(pca.scores, np.cumsum([len(own) for own in recording.train.values()])[:-1])
    rows = (
        (design, own, plan.partition.part_of[story])
        for (story, design), own in zip(_designs(recording, plan.basis), scores, strict=True)
    )
    n_columns = recording.n_columns if plan.basis is None else plan.basis.shape[1]
    targets = target_moments(rows, (plan.partition.n_parts, n_columns, len(pca.sd)))
    alpha, tuning_r = choose_alphas(held_out_r(plan.ridge, targets, alphas_of(settings)), alphas_of(settings))
    weights = solve(plan.ridge, targets, alpha)
    if plan.basis is not None:
        weights = plan.basis @ weights
    predicted = np.vstack([design @ weights for _, design in stacked_designs(recording.test, recording.delays)])
    measured = project(pca, _filled(recording, test, settings), n_test)
    sd = measured.std(axis=0)
    return ComponentFit(pca, alpha, tuning_r, weights, predicted, measured.mean(axis=0), np.where(sd > 0, sd, 1.0))


def paper_block(recording: Recording, fit: ComponentFit, settings: EncodeSettings, voxels: slice) -> PaperBlock:
    """Return model and scores of a block of voxels; every voxel has a score."""
    components = fit.pca.components[:, voxels]
    scaled = fit.predicted * fit.test_sd + fit.test_mean
    predicted = scaled @ components + fit.pca.mean[voxels]
    measured = _stacked(recording, list(recording.test), voxels)
    n_rows = [len(own) for own in recording.test.values()]
    r, left_out = concatenated_r(predicted, measured, n_rows, settings.block_trs)
    edges = np.cumsum(n_rows)[:-1]
    stories = zip(np.split(predicted, edges), np.split(measured, edges), n_rows, strict=True)
    return PaperBlock(
        voxels=voxels,
        r=r,
        story_r=np.stack([concatenated_r(p, m, [n], settings.block_trs)[0] for p, m, n in stories]),
        weights=((fit.weights * fit.test_sd) @ components).astype(np.float32),
        predicted=predicted.astype(np.float32),
        left_out=left_out,
    )


def _designs(recording: Recording, basis: Array | None) -> Iterator[tuple[str, Array]]:
    for story, design in stacked_designs(recording.train, recording.delays):
        yield story, design if basis is None else design @ basis


def _stacked(recording: Recording, stories: Sequence[str], voxels: slice) -> Array:
    return np.vstack([recording.responses.read(story, voxels) for story in stories])


def _filled(recording: Recording, stories: Sequence[str], settings: EncodeSettings) -> Blocks:
    """Return a reader of the responses to these stories in blocks; NaN are the mean of all their known values."""
    slices = recording.blocks(settings.voxel_block)
    total, n_known = 0.0, 0
    for voxels in slices:
        values = _stacked(recording, stories, voxels)
        known = np.isfinite(values)
        total += float(values[known].sum())
        n_known += int(known.sum())
    if n_known == 0:
        raise BadInput(f"{recording.responses.path}: no response to {', '.join(stories)} is known; drop the subject")
    mean = total / n_known

    def blocks() -> Iterator[tuple[slice, Array]]:
        for voxels in slices:
            values = _stacked(recording, stories, voxels)
            yield voxels, np.where(np.isfinite(values), values, mean)

    return blocks
