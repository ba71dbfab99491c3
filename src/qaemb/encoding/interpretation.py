"""What a fitted encoding model means in one subject: voxels stream through in blocks, arrays over voxels go to disk.

The tables have means over scopes (all voxels, regions), a row per question or larger set of features.

What a feature adds that the others cannot is ridge without it, exactly, from the solution with it. With
B = (X'X + alpha I)^-1, W = B X'Y, and S the columns of a feature (all of its delays, or of several features), the ridge
solution without S at the same alpha is W - B[:, S] B[S, S]^-1 W[S], 0 in S (the inverse of a matrix without some rows
and columns, by its Schur complement). So predictions P = X_test W become

    P - (X_test B)[:, S] B[S, S]^-1 W[S]

and no model is fitted again. The penalty stays the one that was chosen with all features; a voxel whose best penalty
without S is another one loses a little less than is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.arrays import Array, Floats32, Integers, Mask
from qaemb.encoding.jackknife import Interval, Jackknife, Scorer, confidence
from qaemb.encoding.recording import Recording, delayed
from qaemb.encoding.ridge import Spectrum
from qaemb.encoding.stability import Drivers, ResamplePlan, ScopeMeans, Stability
from qaemb.errors import BadInput
from qaemb.settings import InterpretSettings
from qaemb.stats import q_values

ALL = "all"  # the scope of all voxels with a score
_KEYS = ["scope", "name"]
_MAPS = ("weight", "same_sign", "unique_r", "unique_share")  # arrays (features, voxels) on disk: NAME_SUBJECT.npy
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
    member: Mask


@dataclass(frozen=True)
class FeatureSet:
    """Features that are left out together: a `question`, a `cluster` of questions or a whole `space` (its kind)."""

    kind: str
    name: str
    features: tuple[int, ...]


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
    """Return the tables of one subject, and write the arrays _MAPS to `folder`.

    BadInput if the model, fitted again at `voxels.alpha`, does not give `voxels.r`.
    """
    recording, n_scopes = task.recording, len(voxels.scopes)
    n_features, n_delays = len(task.names), len(recording.delays)
    columns = [recording.columns(one.features) for one in task.sets]
    leave_out = _LeaveOut(task.plan.full, recording.test, recording.delays, columns)
    unique = _Unique(leave_out, n_scopes, task.block_trs)
    drivers = Drivers(task.plan, n_delays, n_features, n_scopes, task.settings.top_k)
    maps = {name: _new_map(folder / f"{name}_{recording.subject}.npy", (n_features, len(voxels.r))) for name in _MAPS}
    top = []
    size = max(1, _BYTES // (8 * task.plan.partition.n_parts * recording.n_columns))
    for block in tqdm(recording.blocks(size), desc=recording.subject, unit="block", leave=False):
        scored = np.flatnonzero(np.isfinite(voxels.alpha[block])) + block.start
        if not len(scored):
            continue
        xy, measured = _read(task, block, scored - block.start)
        alphas, member = voxels.alpha[scored], voxels.member[scored].astype(np.float64)
        weights = drivers.add(xy, alphas, member)
        r, added = unique.add(xy.sum(axis=0), measured, alphas, member)
        _check(recording, r, voxels.r[scored])
        for name, values in zip(_MAPS, (weights.weight, weights.same_sign, *added[:, :n_features]), strict=True):
            maps[name][:, scored] = values
        top.append(_top(task, scored, weights, added))
    n_voxels = voxels.member.sum(axis=0)
    sets = _set_table(task.sets, voxels.scopes, n_voxels, *unique.means(n_voxels))
    questions = _question_table(task.names, voxels.scopes, drivers.means(n_voxels), sets)
    larger = sets[sets["kind"] != "question"]
    return SubjectMeaning(
        _of_subject(questions, recording.subject),
        _of_subject(larger, recording.subject),
        pd.concat(top, ignore_index=True),
    )


def _read(task: Task, block: slice, scored: Integers) -> tuple[Array, list[Array]]:
    """Return X'Y of each group of stories (groups, p, v), and the responses to each test story (n_trs, v)."""
    responses = {story: values[:, scored] for story, values in task.recording.read(block).responses.items()}
    xy = task.plan.partition.targets(task.recording.designs(), responses).xy
    return xy.astype(np.float64, copy=False), [responses[story] for story in task.recording.test]


def _check(recording: Recording, r: Array, scored: Array) -> None:
    far = np.abs(r - scored).max()
    if far > _SAME_R:
        raise BadInput(
            f"{recording.subject}: the model fitted again gives an r that is {far:.2g} off that of scores.parquet, so "
            "features, responses or encode.delays are others now; run `dvc repro encode`"
        )


def _top(task: Task, voxels: Integers, weights: Stability, added: Array) -> pd.DataFrame:
    """Return the `top_k` questions of each voxel by |weight|, largest first."""
    k = min(task.settings.top_k, len(task.names))
    order = np.argsort(-np.abs(weights.weight), axis=0, kind="stable")[:k].T  # (v, k)
    columns = np.arange(len(voxels))[:, None]

    def ranked(values: Array) -> Floats32:
        return values[order, columns].ravel().astype(np.float32)

    return pd.DataFrame(
        {
            "subject": task.recording.subject,
            "voxel": np.repeat(voxels, k).astype(np.int32),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), len(voxels)),
            "question": pd.Categorical.from_codes(order.ravel().tolist(), categories=pd.Index(task.names)),
            "weight": ranked(weights.weight),
            "low": ranked(weights.weight - weights.reach),
            "high": ranked(weights.weight + weights.reach),
            "same_sign": ranked(weights.same_sign),
            "in_top": ranked(weights.in_top),
            "unique_r": ranked(added[0]),
            "unique_share": ranked(added[1]),
        }
    )


def _of_subject(table: pd.DataFrame, subject: str) -> pd.DataFrame:
    return table.assign(subject=subject)[["subject", *table.columns]].reset_index(drop=True)


def _new_map(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    array[:] = np.nan
    return array


def _set_table(
    sets: Sequence[FeatureSet], scopes: Sequence[str], n_voxels: Array, added: Array, interval: Interval
) -> pd.DataFrame:
    """Return a row per scope and set: what it adds to r (`unique_r`) and to the share of variance (`unique_share`).

    `added` (2, sets, scopes), `interval` as shaped. Columns `scope`, `n_voxels`, `kind`, `name`, `n_features`, and per
    measure the value, `_low`, `_high`, `_p` (two-sided, against 0), `_q` (false discovery rate over the sets of one
    kind in one scope).
    """
    table = _keys(scopes, [one.name for one in sets])
    table.insert(1, "n_voxels", np.repeat(n_voxels, len(sets)).astype(np.int64))
    table.insert(2, "kind", np.tile([one.kind for one in sets], len(scopes)))
    table["n_features"] = np.tile([len(one.features) for one in sets], len(scopes))
    for number, name in enumerate(("unique_r", "unique_share")):
        table[name] = added[number].T.ravel()
        for end, values in (("low", interval.low), ("high", interval.high), ("p", interval.p)):
            table[f"{name}_{end}"] = values[number].T.ravel()
        groups = table.groupby(["scope", "kind"], sort=False)[f"{name}_p"]
        table[f"{name}_q"] = groups.transform(lambda p: q_values(p.to_numpy(np.float64)))
    return table


def _question_table(names: Sequence[str], scopes: Sequence[str], means: ScopeMeans, sets: pd.DataFrame) -> pd.DataFrame:
    """Return a row per scope and question: weights and their stability, then the columns of `_set_table`.

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


class _LeaveOut:
    """Predictions of the test stories with all features and without each set of columns, for one train set."""

    def __init__(
        self, spectrum: Spectrum, test: Mapping[str, Array], delays: Sequence[int], sets: Sequence[Integers]
    ) -> None:
        """`test`: story -> z-scored features (n_trs, features); `sets`: columns of the delayed design matrix."""
        self.spectrum, self.sets = spectrum, list(sets)
        self._test = np.vstack([delayed(values, delays) for values in test.values()])
        self._edges = np.cumsum([len(values) for values in test.values()])[:-1]
        self._of_alpha: dict[float, tuple[Array, list[Array]]] = {}

    def predict(self, weights: Array) -> Array:
        """Return what weights (p, v) predict of all test rows, (rows, v)."""
        return self._test @ weights

    def without(self, number: int, predicted: Array, weights: Array, alphas: Array) -> Array:
        """Return what is predicted of all test rows without the set `number`, (rows, v); `alphas` (v,)."""
        changed = np.empty_like(predicted)
        columns = self.sets[number]
        for alpha in np.unique(alphas):
            targets = alphas == alpha
            through, inverses = self._at(float(alpha))
            moved = np.linalg.solve(inverses[number], weights[np.ix_(columns, targets)])
            changed[:, targets] = predicted[:, targets] - through[:, columns] @ moved
        return changed

    def stories(self, predicted: Array) -> list[Array]:
        """Return rows of all test stories cut into stories."""
        return np.split(predicted, self._edges)

    def _at(self, alpha: float) -> tuple[Array, list[Array]]:
        """Return X_test B (rows, p), and B[S, S] of each set, at one penalty."""
        if alpha not in self._of_alpha:
            inverse = self.spectrum.inverse(alpha)
            parts = [inverse[np.ix_(columns, columns)] for columns in self.sets]
            self._of_alpha[alpha] = (self._test @ inverse, parts)
        return self._of_alpha[alpha]


class _Unique:
    """Contributions of sets of columns, block of voxels by block; keeps sums over the voxels of each scope."""

    def __init__(self, leave_out: _LeaveOut, n_scopes: int, block_trs: int) -> None:
        self._leave_out, self._n_scopes, self._block_trs = leave_out, n_scopes, block_trs
        self._value = np.zeros((2, len(leave_out.sets), n_scopes))
        self._left_out: Array | None = None
        self._story: Integers | None = None

    def add(self, xy: Array, measured: Sequence[Array], alphas: Array, member: Array) -> tuple[Array, Array]:
        """Return r of the whole model (v,), and what each set adds to r and to the share of variance, (2, sets, v).

        `xy` (p, v) is X'Y of the train stories; `measured`: story by story (n_trs, v), no NaN; `member` (v, scopes).
        """
        scorer = Scorer(measured, self._block_trs)
        if self._left_out is None:
            self._left_out = np.zeros((len(scorer.story), *self._value.shape))
            self._story = scorer.story
        weights = self._leave_out.spectrum.weights(xy, alphas)
        predicted = self._leave_out.predict(weights)
        whole, whole_left = scorer.score(self._leave_out.stories(predicted))
        added = np.empty((2, len(self._leave_out.sets), len(alphas)))
        for number in range(len(self._leave_out.sets)):
            other = self._leave_out.without(number, predicted, weights, alphas)
            value, left = scorer.score(self._leave_out.stories(other))
            added[:, number] = whole - value
            self._left_out[:, :, number] += ((whole_left - left) @ member).transpose(1, 0, 2)
        self._value += added @ member
        return whole[0], added

    def means(self, n_voxels: Array) -> tuple[Array, Interval]:
        """Return the means over the voxels of each scope, (2, sets, scopes), and their 95 % intervals.

        `n_voxels` (scopes,) is how many voxels each scope has. Call it after `add`.
        """
        assert self._left_out is not None
        assert self._story is not None
        mean = Jackknife(self._value / n_voxels, self._left_out / n_voxels, self._story)
        return mean.value, confidence(mean)
