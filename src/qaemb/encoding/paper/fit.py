"""Protocol `paper`: the encoding models of QA-Emb (arXiv 2405.16714) as its published code fits them.

1. Features z-scored per story are laid end to end and delayed by 1 to k TRs; train and test each on their own.
2. NaN responses become the mean of all others, over all voxels. The first `n_components` principal components of the
   train responses, standardised, are what is fitted.
3. Ridge without intercept. Each component takes the penalty with the highest mean r over random draws of held-out
   chunks (`plan.random_chunks`), and is fitted again on all train rows.
4. Predicted components take mean and standard deviation of the components **of the test responses**, and are turned
   back into voxels. A voxel's r is taken over all test rows at once, where its response is known; an undefined r is 0.

The paper's code divides by s^2 + alpha^2 for singular values s, so its alphas 10^1..10^4 are penalties 10^2..10^8 here
(`alphas_log10` [2, 8, 12]). It drops singular values below 1e-10, which with such penalties changes nothing. It has no
ceilings, CC_norm, p and q (run `strict`), and no penalty per voxel, as penalties are those of components.
docs/protocols.md compares this with protocol `strict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.arrays import Array, Floats
from qaemb.encoding.jackknife import Jackknife, block_stories, concatenated_r
from qaemb.encoding.metrics import SubjectScores
from qaemb.encoding.paper.pca import Blocks, ResponsePCA, fit_pca, project
from qaemb.encoding.plan import Partition, in_basis, random_chunks
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.results import open_arrays
from qaemb.encoding.ridge import RidgePlan, Spectrum, fit_targets, plan_ridge
from qaemb.errors import BadInput
from qaemb.identity import json_id
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
class _PaperPlan:
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
    weights: Floats
    predicted: Array
    test_mean: Array
    test_sd: Array

    @property
    def mean_tuning_r(self) -> float:
        """The mean held-out r, weighted with the components' variance: what the paper chooses models by."""
        return float((self.pca.sd**2 * self.tuning_r).sum() / (self.pca.sd**2).sum())

    @property
    def variance_kept(self) -> float:
        """The share of the variance of the train responses that is in the components."""
        return float((self.pca.sd**2).sum() / self.pca.total_variance)

    def of_voxels(self, voxels: slice) -> tuple[Array, Array]:
        """Return weights (columns, v) and predictions (test rows, v) of some voxels, in the test responses' scale."""
        components = self.pca.components[:, voxels]
        predicted = (self.predicted * self.test_sd + self.test_mean) @ components + self.pca.mean[voxels]
        return (self.weights * self.test_sd) @ components, predicted

    def table(self, subject: str) -> pd.DataFrame:
        """Return components.parquet of one subject: share_of_variance, alpha, tuning_r (held-out r) a component."""
        return pd.DataFrame(
            {
                "subject": subject,
                "component": np.arange(len(self.alpha), dtype=np.int32),
                "share_of_variance": self.pca.sd**2 / self.pca.total_variance,
                "alpha": self.alpha,
                "tuning_r": self.tuning_r,
            }
        )


def plan_paper(recording: Recording, settings: EncodeSettings) -> _PaperPlan:
    """Return the plan of a recording.

    Memory: at most 2^n_bootstraps matrices (columns, columns) float64, one for each set of draws that hold a row out,
    and three more for each draw. With the paper's 5 draws and 674 questions x 8 delays that is some 11 GB.
    """
    partition = random_chunks(recording.train_rows(), settings)
    basis = None
    if recording.is_wide:
        basis = Spectrum.of_rows(np.vstack([design for _, design in _train_designs(recording)])).vectors
    n_columns = recording.n_columns if basis is None else basis.shape[1]
    moments = partition.features(in_basis(_train_designs(recording), basis), n_columns)
    return _PaperPlan(partition, basis, plan_ridge(moments, partition.held))


def fit_paper(recording: Recording, plan: _PaperPlan, folder: Path, settings: EncodeSettings) -> SubjectScores:
    """Return the scores of one subject; write weights and predictions to `folder` (`open_arrays`) block by block.

    Every voxel has a score. Weights and predictions hold the scale of the test responses; predictions their mean, too.
    BadInput if all responses are NaN.
    """
    n, rows = recording.responses.n_voxels, {story: len(values) for story, values in recording.test.items()}
    components = _fit_components(recording, plan, settings)
    r, story_r = np.empty(n), np.empty((len(rows), n))
    story = block_stories(list(rows.values()), settings.block_trs)
    left_out = np.zeros(len(story))
    with open_arrays(folder, recording) as (weights, predicted):
        blocks = recording.blocks(settings.voxel_block)
        for voxels in tqdm(blocks, desc=recording.subject, unit="block", leave=False):
            block_weights, block_predicted = components.of_voxels(voxels)
            measured = _stacked(recording, list(rows), voxels)
            weights[:, :, voxels] = block_weights.astype(np.float32).reshape(*weights.shape[:2], -1)
            predicted[:, voxels] = block_predicted.astype(np.float32)
            scores = _score(block_predicted, measured, list(rows.values()), settings.block_trs)
            r[voxels], story_r[:, voxels] = scores[:2]
            left_out += scores[2].sum(axis=1)
    key = json_id(["paper", recording.subject, list(rows.items()), settings.block_trs, n])
    return SubjectScores(
        recording.subject,
        rows,
        r,
        story_r,
        ceiling=np.full_like(story_r, np.nan),
        reliable=np.zeros(n, dtype=bool),
        alpha=np.full(n, np.nan),
        p=np.full(n, np.nan),
        mean=Jackknife(np.asarray(r.mean()), left_out / n, story, key),
        components=components,
    )


def _fit_components(recording: Recording, plan: _PaperPlan, settings: EncodeSettings) -> ComponentFit:
    """Return the model of the subject's response components."""
    train, test = list(recording.train), list(recording.test)
    n_train, n_test = (sum(map(len, stories.values())) for stories in (recording.train, recording.test))
    shape = (n_train, recording.responses.n_voxels)
    pca = fit_pca(_filled(recording, train, settings), shape, settings.n_components, settings.seed)
    edges = np.cumsum([len(values) for values in recording.train.values()])[:-1]
    scores = dict(zip(train, np.split(pca.scores, edges), strict=True))
    targets = plan.partition.targets(in_basis(_train_designs(recording), plan.basis), scores)
    fit = fit_targets(plan.ridge, targets, settings.alphas)
    weights = fit.weights if plan.basis is None else plan.basis @ fit.weights
    predicted = np.vstack([design @ weights for _, design in stacked_designs(recording.test, recording.delays)])
    measured = project(pca, _filled(recording, test, settings), n_test)
    sd = measured.std(axis=0)
    return ComponentFit(pca, fit.alpha, fit.r, weights, predicted, measured.mean(axis=0), np.where(sd > 0, sd, 1.0))


def _score(predicted: Array, measured: Array, n_rows: list[int], block_trs: int) -> tuple[Array, Array, Array]:
    """Return r over all test rows (v,), r in each test story (stories, v), and r without each block (blocks, v)."""
    r, left_out = concatenated_r(predicted, measured, n_rows, block_trs)
    edges = np.cumsum(n_rows)[:-1]
    stories = zip(np.split(predicted, edges), np.split(measured, edges), n_rows, strict=True)
    return r, np.stack([concatenated_r(p, m, [n], block_trs)[0] for p, m, n in stories]), left_out


def _train_designs(recording: Recording) -> Iterator[tuple[str, Array]]:
    return stacked_designs(recording.train, recording.delays)


def _stacked(recording: Recording, stories: Sequence[str], voxels: slice) -> Array:
    return np.vstack([recording.responses.read(story, voxels) for story in stories])


def _filled(recording: Recording, stories: Sequence[str], settings: EncodeSettings) -> Blocks:
    """Return a reader of the responses to these stories in blocks; NaN are the mean of all others."""
    slices = recording.blocks(settings.voxel_block)
    total, n_finite = 0.0, 0
    for voxels in slices:
        values = _stacked(recording, stories, voxels)
        finite = np.isfinite(values)
        total += float(values[finite].sum())
        n_finite += int(finite.sum())
    if n_finite == 0:
        raise BadInput(f"{recording.responses.path}: no response to {', '.join(stories)} is known; drop the subject")
    mean = total / n_finite

    def blocks() -> Iterator[tuple[slice, Array]]:
        for voxels in slices:
            values = _stacked(recording, stories, voxels)
            yield voxels, np.where(np.isfinite(values), values, mean)

    return blocks
