"""How good rankings are: MRR, nDCG, recall. One value per query, as trec_eval defines them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qaemb.identity import text_id

Matrix = NDArray[np.float64]

RECALL_AT = (1, 5, 10, 100)
NDCG_AT = 10


def tie_order(names: Sequence[str]) -> NDArray[np.int64]:
    """Return for each document its place among documents of one score: by a hash of its id.

    The same in every run, and blind to the order of the file, in which relevant documents may stand together.
    """
    ids = [text_id(name) for name in names]
    place = {name: number for number, name in enumerate(sorted(ids))}
    return np.array([place[name] for name in ids], np.int64)


def ranked_grades(scores: Matrix, grades: Matrix, ties: NDArray[np.int64]) -> Matrix:
    """Return each query's grades from its best-scored document to its worst (queries, documents)."""
    order = np.stack([np.lexsort((ties, -row)) for row in scores])
    return np.take_along_axis(grades, order, axis=1)


def rank_metrics(scores: Matrix, grades: Matrix, ties: NDArray[np.int64]) -> dict[str, Matrix]:
    """Return metric -> its value per query (queries,), of queries that have a relevant document.

    - mrr: 1 / rank of the first relevant document;
    - ndcg_10: sum over the first ten of grade / log2(rank + 1), over the same sum in the best order;
    - recall_K: the share of all relevant documents that stand among the first K.
    """
    ranked = ranked_grades(scores, grades, ties)
    relevant = ranked > 0
    found = {"mrr": 1.0 / (1 + relevant.argmax(axis=1)), f"ndcg_{NDCG_AT}": _dcg(ranked) / _dcg(-np.sort(-grades))}
    recall = {f"recall_{k}": relevant[:, :k].sum(axis=1) / relevant.sum(axis=1) for k in RECALL_AT}
    return found | recall


def _dcg(ranked: Matrix) -> Matrix:
    first = ranked[:, :NDCG_AT]
    return (first / np.log2(np.arange(2, first.shape[1] + 2))).sum(axis=1)
