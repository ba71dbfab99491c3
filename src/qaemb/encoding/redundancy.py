"""Which questions say the same: their correlation over the train rows, clusters of it, and each one's nearest other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from qaemb.arrays import Array, Integers


@dataclass(frozen=True)
class Redundancy:
    """`r` (n, n): correlation, NaN for a question that never varies. `cluster` (n,) from 1, largest cluster first.

    `order` (n,): the questions as the dendrogram's leaves stand.
    """

    names: list[str]
    r: Array
    cluster: Integers
    order: Integers

    def members(self) -> list[list[int]]:
        """Return the questions of each cluster, by number, cluster 1 first."""
        return [np.flatnonzero(self.cluster == number).tolist() for number in range(1, int(self.cluster.max()) + 1)]

    def representative(self, members: Sequence[int]) -> int:
        """Return the question with the highest mean |r| to the cluster's others; the first among equals."""
        sizes = np.nan_to_num(np.abs(self.r[np.ix_(members, members)]))
        return members[int(sizes.sum(axis=1).argmax())]

    def table(self) -> pd.DataFrame:
        """Return a row per question, in the order of the dendrogram.

        `question`, `cluster`, `size` of the cluster, `representative` of it, `nearest` other question and its `r`; no
        nearest and NaN for a question that never varies.
        """
        sizes = np.abs(self.r)
        np.fill_diagonal(sizes, np.nan)
        of_cluster = {number: self.representative(members) for number, members in enumerate(self.members(), start=1)}
        counts = np.bincount(self.cluster)
        rows = []
        for i in self.order.tolist():
            cluster = int(self.cluster[i])
            nearest = int(np.nanargmax(sizes[i])) if np.isfinite(sizes[i]).any() else None
            rows.append(
                {
                    "question": self.names[i],
                    "cluster": cluster,
                    "size": int(counts[cluster]),
                    "representative": self.names[of_cluster[cluster]],
                    "nearest": self.names[nearest] if nearest is not None else None,
                    "r": float(self.r[i, nearest]) if nearest is not None else np.nan,
                }
            )
        return pd.DataFrame(rows)


def correlations(stories: Iterable[Array]) -> Array:
    """Return r of the columns of (n_trs, n) arrays, z-scored per story, over all rows; NaN where a column is all 0."""
    products = sum(values.T @ values for values in stories)
    size = np.sqrt(np.diag(products))
    varies = size > 0
    scale = np.where(varies, size, 1.0)
    r = np.clip(products / scale / scale[:, None], -1.0, 1.0)
    r[~varies] = np.nan
    r[:, ~varies] = np.nan
    return r


def find_redundancy(names: Sequence[str], r: Array, cluster_r: float) -> Redundancy:
    """Return clusters by average linkage on 1 - |r|, cut where the mean |r| between two clusters is below `cluster_r`.

    |r|, not r: a question and its opposite give a ridge model the same information. Constant questions stand alone.
    """
    n = len(names)
    if n < 2:
        return Redundancy(list(names), r, np.ones(n, dtype=np.int64), np.arange(n))
    distance = 1.0 - np.nan_to_num(np.abs(r))
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    cut = hierarchy.fcluster(tree, 1.0 - cluster_r, criterion="distance")
    labels, first, counts = np.unique(cut, return_index=True, return_counts=True)
    rank = np.lexsort((first, -counts))
    number = dict(zip(labels[rank].tolist(), range(1, len(labels) + 1), strict=True))
    cluster = np.array([number[label] for label in cut.tolist()], dtype=np.int64)
    return Redundancy(list(names), r, cluster, hierarchy.leaves_list(tree).astype(np.int64))
