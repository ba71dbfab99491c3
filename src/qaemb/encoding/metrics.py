"""Scores of one subject, and the metrics made from them: an entry of METRICS is all that a metric needs.

`encode` writes every metric to the metrics file and to MLflow, the report shows those with a title, and a test holds
the table of docs/statistics.md against the entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qaemb.arrays import Array, Mask
from qaemb.encoding.jackknife import Jackknife, confidence
from qaemb.encoding.scores import ALPHA
from qaemb.stats import q_values

if TYPE_CHECKING:
    from qaemb.encoding.paper.fit import ComponentFit

EVERY_PROTOCOL = ("strict", "reference", "paper")


@dataclass(frozen=True)
class SubjectScores:
    """All voxels of one subject.

    `rows`: test story -> number of its rows. `r` (voxels,): the score. `story_r` and `ceiling` (test stories, voxels).
    `reliable`, `alpha` and `p` (voxels,). `mean`: the mean r, jackknifed. `bands` (bands, voxels): of banded ridge
    alone, see `RidgeFit`. `components`: the model of the response components, of protocol `paper` alone, which has no
    ceiling, alpha and p (NaN).
    """

    subject: str
    rows: dict[str, int]
    r: Array
    story_r: Array
    ceiling: Array
    reliable: Mask
    alpha: Array
    p: Array
    mean: Jackknife
    bands: Array | None = None
    components: ComponentFit | None = None

    @property
    def mean_ceiling(self) -> Array:
        """The mean ceiling over the stories that have one, (voxels,)."""
        return _finite_mean(self.ceiling, axis=0)

    @property
    def cc_norm(self) -> Array:
        """r as a share of the ceiling, (voxels,); NaN where a voxel has no ceiling or is not reliable."""
        return _normalised_r(self.story_r, self.ceiling, self.reliable)

    @property
    def q(self) -> Array:
        """False discovery rates of p over the voxels of this subject, (voxels,)."""
        return q_values(self.p)


@dataclass(frozen=True)
class _Metric:
    """One number a subject. `value` returns it; NaN and None: not known.

    `title` heads its column in the report's table of scores; without one it is not shown there. `protocols` are those
    whose metrics files have it.
    """

    name: str
    meaning: str
    value: Callable[[SubjectScores], float | int | None]
    form: Literal["number", "percent", "thousands"] = "number"
    title: str = ""
    protocols: tuple[str, ...] = EVERY_PROTOCOL


def summarise(scores: SubjectScores, protocol: str) -> dict[str, float | int | None]:
    """Return the metrics of one subject that a protocol has, by name; None where a number is not known."""
    values = {metric.name: metric.value(scores) for metric in METRICS if protocol in metric.protocols}
    return {name: None if value is None or not math.isfinite(value) else value for name, value in values.items()}


def _share_of_ceiling(scores: SubjectScores) -> float:
    cells = np.ix_(np.isfinite(scores.ceiling).any(axis=1), scores.reliable)
    possible = float(np.nansum(scores.ceiling[cells]))
    return float(np.nansum(scores.story_r[cells]) / possible) if possible else math.nan


def _n_significant(scores: SubjectScores) -> int | None:
    return int((scores.q < ALPHA).sum()) if np.isfinite(scores.p).any() else None


def _mean_of_best(scores: SubjectScores, one_in: int) -> float:
    best = np.sort(scores.r)[::-1]
    return float(best[: math.ceil(len(best) / one_in)].mean())


def _of_components(name: Literal["mean_tuning_r", "variance_kept"]) -> Callable[[SubjectScores], float | None]:
    return lambda scores: None if scores.components is None else getattr(scores.components, name)


def _finite_mean(values: Array, axis: int | None = None) -> Array:
    """Return the mean over the values that are not NaN; NaN, without a warning, where there is none."""
    finite = np.isfinite(values)
    count = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _normalised_r(r: Array, ceiling: Array, reliable: Mask) -> Array:
    """Return CC_norm per voxel: the sum of r over that of the ceilings, over the stories that have a ceiling.

    `r` and `ceiling` are (stories, voxels), `reliable` (voxels,). NaN for voxels that are not reliable, and where no
    story has a ceiling above 0. It may exceed 1: both numbers are estimates.
    """
    both = np.isfinite(r) & np.isfinite(ceiling)
    reached, possible = (np.where(both, values, 0.0).sum(axis=0) for values in (r, ceiling))
    usable = reliable & (possible > 0)
    return np.where(usable, reached / np.where(usable, possible, 1.0), np.nan)


METRICS = (
    _Metric("mean_r", "mean of r over voxels", lambda s: float(s.mean.value)),
    _Metric("r_low", "lower end of the 95 % jackknife interval of `mean_r`", lambda s: float(confidence(s.mean).low)),
    _Metric("r_high", "upper end of the interval", lambda s: float(confidence(s.mean).high)),
    _Metric(
        "mean_ceiling",
        "mean of the ceiling over voxels, on the test stories with repeats",
        lambda s: float(_finite_mean(s.ceiling[np.isfinite(s.ceiling).any(axis=1)])),
        title="ceiling",
    ),
    _Metric(
        "share_of_ceiling",
        "mean r over mean ceiling, on the test stories with repeats, over the reliable voxels",
        _share_of_ceiling,
        "percent",
        title="of ceiling",
    ),
    _Metric(
        "mean_cc_norm",
        "mean over the reliable voxels of each one's share of its ceiling, `cc_norm`",
        lambda s: float(_finite_mean(s.cc_norm)),
        title="CC_norm",
    ),
    _Metric(
        "n_significant",
        "voxels above chance, q < .05; not known where it was not tested",
        _n_significant,
        "thousands",
        title="above chance",
    ),
    _Metric("n_reliable", "voxels whose repeats agree", lambda s: int(s.reliable.sum()), "thousands"),
    _Metric("n_voxels", "voxels", lambda s: len(s.r), "thousands"),
    _Metric(
        "n_nan",
        "voxels without a score",
        lambda s: int((~np.isfinite(s.story_r).all(axis=0)).sum()),
        "thousands",
    ),
    _Metric(
        "share_positive", "share of voxels with r above 0", lambda s: float((s.r > 0).mean()), protocols=("paper",)
    ),
    _Metric(
        "mean_r_top_1_percent",
        "mean r of the best 1 % of voxels",
        lambda s: _mean_of_best(s, 100),
        protocols=("paper",),
    ),
    _Metric(
        "mean_r_top_5_percent", "mean r of the best 5 % of voxels", lambda s: _mean_of_best(s, 20), protocols=("paper",)
    ),
    _Metric(
        "tuning_r",
        "held-out r inside train, weighted with the components' variance",
        _of_components("mean_tuning_r"),
        protocols=("paper",),
    ),
    _Metric(
        "variance_kept",
        "share of the variance that is in the components",
        _of_components("variance_kept"),
        "percent",
        protocols=("paper",),
    ),
)
