"""Tables of what drives a subject's voxels: means over scopes (all voxels, regions), a row per question or set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qaemb.encoding.jackknife import Interval
from qaemb.encoding.moments import Array
from qaemb.encoding.significance import q_values
from qaemb.encoding.stability import ScopeMeans

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
