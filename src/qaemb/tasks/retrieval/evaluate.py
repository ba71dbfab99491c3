"""Retrieval: which documents answer a query? Answers beside BM25, TF-IDF, an embedding, and together with them.

Rankings are judged by MRR, nDCG and recall, a value per query, as trec_eval defines them. The tables say what was
learnt, and why a document stands first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.settings import RetrievalTask
from qaemb.tasks.representations import bm25_scores, tf_idf
from qaemb.tasks.resampling import mean_with_interval, paired_difference
from qaemb.tasks.retrieval.fit import (
    MIXTURES,
    N_STEPS,
    WEIGHTED,
    Fitted,
    Fold,
    Judged,
    Matrix,
    Problem,
    Rows,
    fit_and_score,
    inner_folds,
)
from qaemb.tasks.retrieval.sets import RetrievalSet
from qaemb.tasks.task import Features, MethodResult, TaskResult

_RECALL_AT = (1, 5, 10, 100)
_NDCG_AT = 10
_PAIRS = (
    ("bm25+answers", "bm25"),
    ("embedding+answers", "embedding"),
    ("bm25+embedding+answers", "bm25+embedding"),
    ("answers_weighted", "answers"),
)
"""What is compared with what, query by query."""

_COMPARED = (f"ndcg_{_NDCG_AT}", "mrr")
_LEAST_TRAIN = 4
_WORST = -1e9  # the score of a document that is never a result of a query


def evaluate_retrieval(data: RetrievalSet, features: Features, settings: RetrievalTask) -> TaskResult:
    """Return MRR, nDCG@10 and recall of every method on the test queries, with intervals over queries, and differences.

    Learnt on the set's train queries, or on a share of all queries (`retrieval.train_share`), or without either in
    `retrieval.n_folds` folds: then every query is tested once, by what was learnt from the others.
    """
    problem = _problem(data, features)
    splits = _splits(data, settings)
    with tqdm(total=len(splits) * N_STEPS, desc="learn weights", unit="fit") as bar:
        folds = [Fold(problem, train, test, settings.seed, bar.update) for train, test in splits]
        fitted = [fit_and_score(fold) for fold in folds]
    tested = np.concatenate([test for _, test in splits])
    by_method = _per_query(data, problem, fitted, tested)
    methods = [_method(name, values, fitted, settings) for name, values in by_method.items()]
    tables = {
        "queries": _query_table(data, tested, by_method),
        "weights": _question_table(features, fitted),
        "mixtures": _mixture_table(fitted),
        "explanations": _explanations(_Explained(data, features, problem.judged, fitted[0], splits[0][1])),
    }
    learnt = "own split" if data.train else "share" if settings.retrieval.train_share else "folds"
    n_train = int(np.mean([len(train) for train, _ in splits]))
    note = f"{len(data.documents)} documents, {len(tested)} test queries, learnt from {n_train} others ({learnt})"
    return TaskResult(methods, _differences(by_method, settings), tables, [*data.notes, note])


def _problem(data: RetrievalSet, features: Features) -> Problem:
    queries, documents = list(data.queries.values()), list(data.documents.values())
    query_rows, document_rows = features.rows(queries), features.rows(documents)
    words = tf_idf([*queries, *documents], documents)
    plain = {
        "bm25": bm25_scores(queries, documents),
        "tfidf": np.asarray((words[: len(queries)] @ words[len(queries) :].T).todense(), np.float64),
        "embedding": (features.embedding[query_rows] @ features.embedding[document_rows].T).astype(np.float64),
    }
    return Problem(
        plain,
        features.margin[query_rows],
        features.mass[query_rows],
        features.margin[document_rows],
        features.mass[document_rows],
        Judged(data.grade_matrix, data.is_query),
    )


def _splits(data: RetrievalSet, settings: RetrievalTask) -> list[tuple[Rows, Rows]]:
    """Return (train, test) numbers of queries."""
    spec, n, seed = settings.retrieval, len(data.queries), settings.seed
    if data.train:
        in_train = np.array([query in data.train for query in data.queries])
        splits = [(np.flatnonzero(in_train), np.flatnonzero(~in_train))]
    elif spec.train_share:
        order = np.random.default_rng(seed).permutation(n)
        n_train = round(n * spec.train_share)
        splits = [(np.sort(order[:n_train]), np.sort(order[n_train:]))]
    else:
        splits = list(inner_folds(n, spec.n_folds, seed))
    fewest = min(len(train) for train, _ in splits)
    if fewest < _LEAST_TRAIN or any(not len(test) for _, test in splits):
        raise BadInput(
            f"{fewest} of {n} queries to learn from are too few, or none is left to test; give the set at least "
            f"{_LEAST_TRAIN} train queries with a relevant document, or another retrieval.train_share"
        )
    return splits


def _per_query(
    data: RetrievalSet, problem: Problem, fitted: list[Fitted], tested: Rows
) -> dict[str, dict[str, Matrix]]:
    """Return method -> metric -> its value of each test query."""
    ties, judged = _tie_order(list(data.documents)), problem.judged
    grades, never = np.where(judged.never, 0.0, judged.grades)[tested], judged.never[tested]
    metrics = {}
    for name in fitted[0].scores:
        scores = np.concatenate([one.scores[name] for one in fitted])
        metrics[name] = _rank_metrics(np.where(never, _WORST, scores), grades, ties)
    return metrics


def _method(name: str, per_query: Mapping[str, Matrix], fitted: list[Fitted], settings: RetrievalTask) -> MethodResult:
    metrics: dict[str, float] = {}
    for metric, values in per_query.items():
        metrics |= mean_with_interval(values, settings.n_resamples, settings.seed).metrics(metric)
    shares = np.mean([one.shares[name] for one in fitted], axis=0).tolist() if name in fitted[0].shares else None
    return MethodResult(name, metrics, {"weights": shares} if shares else {})


def _differences(by_method: Mapping[str, Mapping[str, Matrix]], settings: RetrievalTask) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for better, baseline in _PAIRS:
        for metric in _COMPARED:
            difference = paired_difference(
                by_method[better][metric], by_method[baseline][metric], settings.n_resamples, settings.seed
            )
            metrics |= difference.metrics(f"{better}_minus_{baseline}_{metric}")
    return metrics


def _query_table(data: RetrievalSet, tested: Rows, by_method: Mapping[str, Mapping[str, Matrix]]) -> pd.DataFrame:
    """Return a row per test query: its text, and each method's nDCG."""
    names, texts = list(data.queries), list(data.queries.values())
    columns = {name: values[f"ndcg_{_NDCG_AT}"] for name, values in by_method.items()}
    return pd.DataFrame({"query": [names[row] for row in tested], "text": [texts[row] for row in tested], **columns})


def _tie_order(names: Sequence[str]) -> NDArray[np.int64]:
    """Return for each document its place among documents of one score: by a hash of its id.

    The same in every run, and blind to the order of the file, in which relevant documents may stand together.
    """
    ids = [text_id(name) for name in names]
    place = {name: number for number, name in enumerate(sorted(ids))}
    return np.array([place[name] for name in ids], np.int64)


def _ranked_grades(scores: Matrix, grades: Matrix, ties: NDArray[np.int64]) -> Matrix:
    """Return each query's grades from its best-scored document to its worst (queries, documents)."""
    order = np.stack([np.lexsort((ties, -row)) for row in scores])
    return np.take_along_axis(grades, order, axis=1)


def _rank_metrics(scores: Matrix, grades: Matrix, ties: NDArray[np.int64]) -> dict[str, Matrix]:
    """Return metric -> its value per query (queries,), of queries that have a relevant document.

    - mrr: 1 / rank of the first relevant document;
    - ndcg_10: sum over the first ten of grade / log2(rank + 1), over the same sum in the best order;
    - recall_K: the share of all relevant documents that stand among the first K.
    """
    ranked = _ranked_grades(scores, grades, ties)
    relevant = ranked > 0
    firsts = {"mrr": 1.0 / (1 + relevant.argmax(axis=1)), f"ndcg_{_NDCG_AT}": _dcg(ranked) / _dcg(-np.sort(-grades))}
    recall = {f"recall_{k}": relevant[:, :k].sum(axis=1) / relevant.sum(axis=1) for k in _RECALL_AT}
    return firsts | recall


def _dcg(ranked: Matrix) -> Matrix:
    first = ranked[:, :_NDCG_AT]
    return (first / np.log2(np.arange(2, first.shape[1] + 2))).sum(axis=1)


_N_QUERIES, _N_QUESTIONS = 10, 5


@dataclass(frozen=True)
class _Explained:
    """What explanations are computed from: a fitted fold, and the queries that it tested."""

    data: RetrievalSet
    features: Features
    judged: Judged
    fitted: Fitted
    tested: Rows


def _question_table(features: Features, fitted: Sequence[Fitted]) -> pd.DataFrame:
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


def _mixture_table(fitted: Sequence[Fitted]) -> pd.DataFrame:
    """Return a row per fold, combination and method in it: its weight, and what was chosen for the questions."""
    rows = [
        {"fold": fold, "combination": name, "method": part, "weight": share}
        | {"penalty": one.learnt.penalty, "counts_mass": one.learnt.counts_mass}
        for fold, one in enumerate(fitted)
        for name, parts in MIXTURES.items()
        for part, share in zip(parts, one.shares[name], strict=True)
    ]
    return pd.DataFrame(rows)


def _explanations(part: _Explained) -> pd.DataFrame:
    """Return, for some test queries, the document that weighted answers put first and the questions that decided it.

    A query without a document of positive score is left out.
    `contribution` adds up over all questions to the score; `share` is its part of that. `query_yes`, `document_yes`:
    the answers as probabilities.
    """
    rows = []
    names, documents = list(part.data.queries), list(part.data.documents)
    scores = np.where(part.judged.never[part.tested], -np.inf, part.fitted.scores[WEIGHTED])
    learnt = part.fitted.learnt
    for number, query in enumerate(part.tested[:_N_QUERIES]):
        document = int(scores[number].argmax())
        if scores[number, document] <= 0:
            continue
        contributions = learnt.products.queries[query] * learnt.weights * learnt.products.documents[document]
        texts = part.data.queries[names[query]], part.data.documents[documents[document]]
        margins = part.features.margin[part.features.rows(texts)].astype(np.float64)
        yes = 1 / (1 + np.exp(-margins))
        for question in np.argsort(-contributions, kind="stable")[:_N_QUESTIONS]:
            rows.append(
                {
                    "query": texts[0],
                    "document": documents[document],
                    "grade": part.judged.grades[query, document],
                    "question": part.features.questions[question].text,
                    "query_yes": yes[0, question],
                    "document_yes": yes[1, question],
                    "contribution": contributions[question],
                    "share": contributions[question] / scores[number, document],
                }
            )
    return pd.DataFrame(rows)
