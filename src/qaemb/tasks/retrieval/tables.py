"""How good rankings are: MRR, nDCG, recall. One value per query, as trec_eval defines them.

Tables of a retrieval task: what was learnt, and why a document stands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from qaemb.identity import text_id
from qaemb.tasks.retrieval.fit import MIXTURES, WEIGHTED, Fitted, Rows
from qaemb.tasks.retrieval.listwise import Judged
from qaemb.tasks.retrieval.sets import RetrievalSet
from qaemb.tasks.task import Features

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


_N_QUERIES, _N_QUESTIONS = 10, 5


@dataclass(frozen=True)
class Explained:
    """What explanations are made from: one fold, and the queries that it tested."""

    data: RetrievalSet
    features: Features
    judged: Judged
    fitted: Fitted
    tested: Rows


def question_table(features: Features, fitted: Sequence[Fitted]) -> pd.DataFrame:
    """Return a row per question: its weight, mean, least and largest over folds; the heaviest first."""
    weights = np.stack([one.learnt.weights for one in fitted])
    table = pd.DataFrame(
        {
            "question": features.names,
            "text": [question.text for question in features.questions],
            "weight": weights.mean(axis=0),
            "least": weights.min(axis=0),
            "largest": weights.max(axis=0),
        }
    )
    return table.sort_values("weight", ascending=False, kind="stable")


def mixture_table(fitted: Sequence[Fitted]) -> pd.DataFrame:
    """Return a row per fold, combination and method in it: its weight, and what was chosen for the questions."""
    rows = [
        {"fold": fold, "combination": name, "method": part, "weight": share}
        | {"penalty": one.learnt.penalty, "counts_mass": one.learnt.counts_mass}
        for fold, one in enumerate(fitted)
        for name, parts in MIXTURES.items()
        for part, share in zip(parts, one.shares[name], strict=True)
    ]
    return pd.DataFrame(rows)


def explanations(own: Explained) -> pd.DataFrame:
    """Return of some test queries the document that the weighted answers put first, and the questions that did it.

    Queries that answers liken to no document are left out.
    `contribution` adds up over all questions to the score; `share` is its part of that. `query_yes`, `document_yes`:
    the answers as probabilities.
    """
    rows = []
    names, documents = list(own.data.queries), list(own.data.documents)
    scores = np.where(own.judged.never[own.tested], -np.inf, own.fitted.scores[WEIGHTED])
    learnt = own.fitted.learnt
    for number, query in enumerate(own.tested[:_N_QUERIES]):
        document = int(scores[number].argmax())
        if scores[number, document] <= 0:
            continue
        contributions = learnt.products.queries[query] * learnt.weights * learnt.products.documents[document]
        texts = own.data.queries[names[query]], own.data.documents[documents[document]]
        margins = own.features.margin[own.features.rows(texts)].astype(np.float64)
        yes = expit(margins)
        for question in np.argsort(-contributions, kind="stable")[:_N_QUESTIONS]:
            rows.append(
                {
                    "query": texts[0],
                    "document": documents[document],
                    "grade": own.judged.grades[query, document],
                    "question": own.features.questions[question].text,
                    "query_yes": yes[0, question],
                    "document_yes": yes[1, question],
                    "contribution": contributions[question],
                    "share": contributions[question] / scores[number, document],
                }
            )
    return pd.DataFrame(rows)
