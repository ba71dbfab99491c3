"""Encoding models between `strict` and `paper`: each difference can be set alone. For benchmarks/protocols.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.signal import lfilter

from qaemb.arrays import Array
from qaemb.encoding.jackknife import Jackknife, block_stories, concatenated_r, jackknife_r
from qaemb.encoding.paper.fit import stacked_designs
from qaemb.encoding.paper.pca import fit_pca, project
from qaemb.encoding.plan import PROTOCOLS, Partition, random_chunks
from qaemb.encoding.recording import ResponseFile, delayed
from qaemb.encoding.ridge import FeatureMoments, RidgePlan, TargetMoments, fit_targets, plan_ridge
from qaemb.features.space import read_space, zscore
from qaemb.files import read_table
from qaemb.settings import EncodeSettings
from qaemb.workspace import Workspace

Stories = dict[str, Array]


@dataclass(frozen=True)
class Variant:
    """One way to fit and score; with `n_components` 0 the responses themselves are fitted, one by one."""

    n_delays: int = 4
    alphas_log10: tuple[float, float, int] = (1.0, 5.5, 10)
    across: bool = False
    chunks: bool = False
    n_components: int = 0
    test_scale: bool = False
    concatenated: bool = False

    def with_(self, changes: Mapping[str, Any]) -> Variant:
        """Return a variant with some fields changed."""
        return replace(self, **changes)

    @property
    def plan_key(self) -> tuple[int, bool, bool]:
        """What the design matrix and the held-out sets depend on."""
        return self.n_delays, self.across, self.chunks


STRICT = Variant()
DIFFERENCES: dict[str, dict[str, Any]] = {
    "8 delays": {"n_delays": 8},
    "penalties 10^2 to 10^8, 12": {"alphas_log10": (2.0, 8.0, 12)},
    "delays across stories": {"across": True},
    "penalty on random chunks": {"chunks": True},
    "100 response components": {"n_components": 100},
    "scale of the test responses": {"n_components": 100, "test_scale": True},
    "r over both stories at once": {"concatenated": True},
}
PAPER = STRICT.with_({key: value for changes in DIFFERENCES.values() for key, value in changes.items()})


@dataclass(frozen=True)
class Score:
    """r of each voxel, its jackknifed mean, and the mean held-out r of what was fitted at its own penalty."""

    r: Array
    jackknife: Jackknife
    tuning_r: float
    mean_log10_alpha: float

    @property
    def mean(self) -> float:
        """The mean r over voxels."""
        return float(self.jackknife.value)

    def numbers(self) -> dict[str, float]:
        """Return the numbers for a results file."""
        return {"mean_r": self.mean, "tuning_r": self.tuning_r, "mean_log10_alpha": self.mean_log10_alpha}


@dataclass
class Data:
    """z-scored features of train and test stories, and responses by subject: story -> (rows, voxels), centred.

    Of `settings` folds, draws, chunks, the jackknife's blocks and the seed are used; the rest is the variant's.
    """

    train: Stories
    test: Stories
    responses: dict[str, Stories]
    settings: EncodeSettings
    _plan: tuple[tuple[int, bool, bool], Partition, RidgePlan] | None = field(default=None, repr=False)

    def plan(self, variant: Variant) -> tuple[Partition, RidgePlan]:
        """Return parts and eigenbases of a variant; those of the last one asked for are kept."""
        if self._plan is None or self._plan[0] != variant.plan_key:
            n_rows = {story: len(own) for story, own in self.train.items()}
            partition = (random_chunks if variant.chunks else PROTOCOLS["strict"])(n_rows, self.settings)
            designs = _designs(self.train, variant)
            rows = ((own, partition.part_of[story]) for story, own in designs.items())
            n_columns = next(iter(designs.values())).shape[1]
            moments = FeatureMoments.of_rows(rows, partition.n_parts, n_columns)
            self._plan = variant.plan_key, partition, plan_ridge(moments, partition.held)
        return self._plan[1:]


def read_data(workspace: Workspace, space: str, subjects: Sequence[str], settings: EncodeSettings) -> Data:
    """Return a space and the responses of subjects, for the stories that all of them heard; voxels with NaN are out."""
    values = {
        story: zscore(own) for story, own in read_space(workspace.features(space) / "features.parquet").values.items()
    }
    stories = read_table(workspace.dataset / "stories.parquet")
    files = {subject: ResponseFile(workspace.dataset / "responses" / f"{subject}.h5") for subject in subjects}
    splits = {
        kind: {story: values[story] for story in own["story"] if all(story in file.n_rows for file in files.values())}
        for kind, own in stories.groupby("split")
    }
    heard = [*splits["train"], *splits["test"]]
    responses = {
        subject: _known({story: file.read(story, slice(0, file.n_voxels)) for story in heard})
        for subject, file in files.items()
    }
    return Data(splits["train"], splits["test"], responses, settings)


def _known(raw: Stories) -> Stories:
    """Return the voxels without NaN and with variation in every story, centred per story."""
    kept = np.all([np.isfinite(own).all(axis=0) & (own.std(axis=0) > 0) for own in raw.values()], axis=0)
    return {story: own[:, kept] - own[:, kept].mean(axis=0) for story, own in raw.items()}


def noise(data: Data, coefficient: float, n_voxels: int, seed: int) -> Data:
    """Return the features with responses of a subject `noise`: AR(1) in each story, z-scored, tied to nothing."""
    rng = np.random.default_rng(seed)

    def course(n_rows: int) -> Array:
        burn_in = round(5 / (1 - coefficient))
        white = rng.standard_normal((n_rows + burn_in, n_voxels))
        return zscore(lfilter([1.0], [1.0, -coefficient], white, axis=0)[burn_in:])

    stories = {**data.train, **data.test}
    responses = {story: course(len(own)) for story, own in stories.items()}
    return Data(data.train, data.test, {"noise": responses}, data.settings)


def evaluate(data: Data, subject: str, variant: Variant) -> Score:
    """Return the score of one subject under a variant."""
    partition, plan = data.plan(variant)
    responses = data.responses[subject]
    targets, back = _targets(data, responses, variant)
    rows = ((own, targets[story], partition.part_of[story]) for story, own in _designs(data.train, variant).items())
    n_columns = plan.vectors.shape[0]
    moments = TargetMoments.of_rows(rows, (partition.n_parts, n_columns, next(iter(targets.values())).shape[1]))
    alphas = np.logspace(*variant.alphas_log10)
    fit = fit_targets(plan, moments, alphas)
    predicted = [back(own @ fit.weights) for own in _designs(data.test, variant).values()]
    jackknife, r = _scored(predicted, [responses[story] for story in data.test], variant, data.settings)
    return Score(r, jackknife, float(fit.r.mean()), float(np.log10(fit.alpha).mean()))


def _targets(data: Data, responses: Stories, variant: Variant) -> tuple[Stories, Callable[[Array], Array]]:
    """Return what is fitted, story -> (rows, targets), and the function from predicted targets to voxels."""
    own = {story: responses[story] for story in data.train}
    if not variant.n_components:
        return own, lambda predicted: predicted
    stacked = np.vstack(list(own.values()))
    everything = slice(0, stacked.shape[1])
    pca = fit_pca(lambda: iter([(everything, stacked)]), stacked.shape, variant.n_components, seed=0)
    measured = np.vstack([responses[story] for story in data.test])
    of_test = project(pca, lambda: iter([(everything, measured)]), len(measured)).std(axis=0)
    scale = of_test if variant.test_scale else pca.sd
    edges = np.cumsum([len(values) for values in own.values()])[:-1]
    return dict(zip(own, np.split(pca.scores, edges), strict=True)), lambda found: (found * scale) @ pca.components


def _scored(
    predicted: list[Array], measured: list[Array], variant: Variant, settings: EncodeSettings
) -> tuple[Jackknife, Array]:
    """Return the jackknifed mean over voxels of r, and r (voxels,)."""
    size = settings.block_trs
    if not variant.concatenated:
        found = jackknife_r(predicted, measured, size)
        return Jackknife(found.value.mean(), found.left_out.mean(axis=1), found.story), found.value
    n_rows = [len(own) for own in measured]
    r, left_out = concatenated_r(np.vstack(predicted), np.vstack(measured), n_rows, size)
    return Jackknife(np.asarray(r.mean()), left_out.mean(axis=1), block_stories(n_rows, size)), r


def _designs(stories: Stories, variant: Variant) -> Stories:
    delays = range(1, variant.n_delays + 1)
    if variant.across:
        return dict(stacked_designs(stories, delays))
    return {story: delayed(values, delays) for story, values in stories.items()}
