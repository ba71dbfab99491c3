"""What a fitted encoding model means in one subject: voxels stream through in blocks, arrays over voxels go to disk.

Tables of what drives a subject's voxels: means over scopes (all voxels, regions), a row per question or set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.encoding.jackknife import Interval
from qaemb.encoding.moments import Array
from qaemb.encoding.plan import block_moments
from qaemb.encoding.recording import Recording, delayed_columns
from qaemb.encoding.stability import Drivers, ResamplePlan, ScopeMeans, Stability
from qaemb.encoding.unique import LeaveOut, Unique
from qaemb.errors import BadInput
from qaemb.settings import InterpretSettings
from qaemb.stats import q_values

MAPS = ("weight", "same_sign", "unique_r", "unique_share")  # arrays (features, voxels) on disk: NAME_SUBJECT.npy
_SAME_R = 1e-4  # scores come from float32 sums; r that differs by more comes from another model or other responses
_BYTES = 2**28  # of X'Y over the groups of stories: bounds the voxels that are worked on at once


@dataclass(frozen=True)
class Voxels:
    """All voxels of a subject: `alpha` and `r` (n,), NaN where the model has no score.

    `member` (n, scopes): which voxels are in which scope; only voxels with a score, at least one in each.
    """

    alpha: Array
    r: Array
    scopes: list[str]
    member: NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """One model in one subject. `sets`: what is left out, the single questions first and in the order of `names`."""

    recording: Recording
    plan: ResamplePlan
    names: Sequence[str]
    sets: Sequence[FeatureSet]
    settings: InterpretSettings
    block_trs: int


@dataclass(frozen=True)
class SubjectMeaning:
    """`questions`: a row per scope and question; `sets`: a row per scope and set; `top`: a row per voxel and rank."""

    questions: pd.DataFrame
    sets: pd.DataFrame
    top: pd.DataFrame


def interpret_subject(task: Task, voxels: Voxels, folder: Path) -> SubjectMeaning:
    """Return the tables of one subject, and write the arrays MAPS to `folder`.

    BadInput if the model, fitted again at `voxels.alpha`, does not give `voxels.r`.
    """
    recording, n_scopes = task.recording, len(voxels.scopes)
    n_features, n_delays = len(task.names), len(recording.delays)
    columns = [delayed_columns(own.features, n_features, n_delays) for own in task.sets]
    leave_out = LeaveOut(task.plan.full, recording.test, recording.delays, columns)
    unique = Unique(leave_out, n_scopes, task.block_trs)
    drivers = Drivers(task.plan, n_delays, n_features, n_scopes, task.settings.top_k)
    maps = {name: _new_map(folder / f"{name}_{recording.subject}.npy", (n_features, len(voxels.r))) for name in MAPS}
    top = []
    size = max(1, _BYTES // (8 * task.plan.partition.n_parts * recording.n_columns))
    for block in tqdm(recording.blocks(size), desc=recording.subject, unit="block", leave=False):
        own = np.flatnonzero(np.isfinite(voxels.alpha[block])) + block.start
        if not len(own):
            continue
        xy, measured = _read(task, block, own - block.start)
        alphas, member = voxels.alpha[own], voxels.member[own].astype(np.float64)
        weights = drivers.add(xy, alphas, member)
        r, added = unique.add(xy.sum(axis=0), measured, alphas, member)
        _check(recording, r, voxels.r[own])
        for name, values in zip(MAPS, (weights.weight, weights.same_sign, *added[:, :n_features]), strict=True):
            maps[name][:, own] = values
        top.append(_top(task, own, weights, added))
    n_voxels = voxels.member.sum(axis=0)
    sets = set_table(task.sets, voxels.scopes, n_voxels, *unique.means(n_voxels))
    questions = question_table(task.names, voxels.scopes, drivers.means(n_voxels), sets)
    larger = sets[sets["kind"] != "question"]
    return SubjectMeaning(
        _of_subject(questions, recording.subject),
        _of_subject(larger, recording.subject),
        pd.concat(top, ignore_index=True),
    )


def _read(task: Task, block: slice, kept: NDArray[np.int64]) -> tuple[Array, list[Array]]:
    """Return X'Y of each group of stories (groups, p, v), and the responses to each test story (n_trs, v)."""
    responses, _ = task.recording.read(block)
    own = {story: values[:, kept] for story, values in responses.items()}
    xy = block_moments(task.recording, task.plan.partition, own).xy
    return xy.astype(np.float64, copy=False), [own[story] for story in task.recording.test]


def _check(recording: Recording, r: Array, scored: Array) -> None:
    far = np.abs(r - scored).max()
    if far > _SAME_R:
        raise BadInput(
            f"{recording.subject}: the model fitted again gives an r that is {far:.2g} off that of scores.parquet, so "
            "features, responses or encode.delays are others now; run `dvc repro encode`"
        )


def _top(task: Task, voxels: NDArray[np.int64], weights: Stability, added: Array) -> pd.DataFrame:
    """Return the `top_k` questions of each voxel by |weight|, largest first."""
    k = min(task.settings.top_k, len(task.names))
    order = np.argsort(-np.abs(weights.weight), axis=0, kind="stable")[:k].T  # (v, k)
    columns = np.arange(len(voxels))[:, None]

    def taken(values: Array) -> NDArray[np.float32]:
        return values[order, columns].ravel().astype(np.float32)

    return pd.DataFrame(
        {
            "subject": task.recording.subject,
            "voxel": np.repeat(voxels, k).astype(np.int32),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), len(voxels)),
            "question": pd.Categorical.from_codes(order.ravel().tolist(), categories=pd.Index(task.names)),
            "weight": taken(weights.weight),
            "low": taken(weights.weight - weights.reach),
            "high": taken(weights.weight + weights.reach),
            "same_sign": taken(weights.same_sign),
            "in_top": taken(weights.in_top),
            "unique_r": taken(added[0]),
            "unique_share": taken(added[1]),
        }
    )


def _of_subject(table: pd.DataFrame, subject: str) -> pd.DataFrame:
    return table.assign(subject=subject)[["subject", *table.columns]].reset_index(drop=True)


def _new_map(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    made[:] = np.nan
    return made


ALL = "all"  # the scope of all voxels with a score
_KEYS = ["scope", "name"]


@dataclass(frozen=True)
class FeatureSet:
    """Features that are left out together: a `question`, a `cluster` of questions or a whole `space` (its kind)."""

    kind: str
    name: str
    features: tuple[int, ...]


def set_table(
    sets: Sequence[FeatureSet], scopes: Sequence[str], n_voxels: Array, added: Array, interval: Interval
) -> pd.DataFrame:
    """Return a row per scope and set: what it adds to r (`unique_r`) and to the share of variance (`unique_share`).

    `added` (2, sets, scopes), `interval` as shaped. Columns `scope`, `n_voxels`, `kind`, `name`, `n_features`, and per
    measure the value, `_low`, `_high`, `_p` (two-sided, against 0), `_q` (false discovery rate over the sets of one
    kind in one scope).
    """
    table = _keys(scopes, [own.name for own in sets])
    table.insert(1, "n_voxels", np.repeat(n_voxels, len(sets)).astype(np.int64))
    table.insert(2, "kind", np.tile([own.kind for own in sets], len(scopes)))
    table["n_features"] = np.tile([len(own.features) for own in sets], len(scopes))
    for number, name in enumerate(("unique_r", "unique_share")):
        table[name] = added[number].T.ravel()
        for end, values in (("low", interval.low), ("high", interval.high), ("p", interval.p)):
            table[f"{name}_{end}"] = values[number].T.ravel()
        groups = table.groupby(["scope", "kind"], sort=False)[f"{name}_p"]
        table[f"{name}_q"] = groups.transform(lambda p: q_values(p.to_numpy(np.float64)))
    return table


def question_table(names: Sequence[str], scopes: Sequence[str], means: ScopeMeans, sets: pd.DataFrame) -> pd.DataFrame:
    """Return a row per scope and question: weights and their stability, then the columns of `set_table`.

    `question`, `weight` (mean, signed) and `importance` with `_low` and `_high`, `same_sign`, `in_top`.
    """
    table = _keys(scopes, list(names))
    for name, value, reach in (
        ("weight", means.weight, means.weight_reach),
        ("importance", means.importance, means.importance_reach),
    ):
        for column, values in ((name, value), (f"{name}_low", value - reach), (f"{name}_high", value + reach)):
            table[column] = values.T.ravel()
    table["same_sign"], table["in_top"] = means.same_sign.T.ravel(), means.in_top.T.ravel()
    unique = sets[sets["kind"] == "question"].drop(columns=["kind", "n_features"])
    joined = unique[[*_KEYS, "n_voxels"]].merge(table, on=_KEYS).merge(unique.drop(columns="n_voxels"), on=_KEYS)
    return joined.rename(columns={"name": "question"})


def _keys(scopes: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"scope": np.repeat(list(scopes), len(names)), "name": np.tile(list(names), len(scopes))})
