"""Retrieval: which documents answer a query? Answers beside BM25, TF-IDF, an embedding, and together with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.folds import held_out_in_turn, in_runs, split_off
from qaemb.settings import TaskSettings
from qaemb.tasks.representations import bm25_scores, tf_idf
from qaemb.tasks.resampling import mean_with_interval, paired_difference
from qaemb.tasks.retrieval.fit import N_STEPS, Fitted, Fold, Matrix, Problem, Rows, fit_and_score
from qaemb.tasks.retrieval.listwise import Judged
from qaemb.tasks.retrieval.sets import RetrievalSet
from qaemb.tasks.retrieval.tables import (
    NDCG_AT,
    Explained,
    explanations,
    mixture_table,
    question_table,
    rank_metrics,
    tie_order,
)
from qaemb.tasks.task import Features, MethodResult, TaskResult

PAIRS = (
    ("bm25+answers", "bm25"),
    ("embedding+answers", "embedding"),
    ("bm25+embedding+answers", "bm25+embedding"),
    ("answers_weighted", "answers"),
)
"""What is compared with what, query by query."""

_COMPARED = (f"ndcg_{NDCG_AT}", "mrr")
_LEAST_TRAIN = 4
_WORST = -1e9  # the score of a document that is never a result of a query


def evaluate_retrieval(data: RetrievalSet, features: Features, settings: TaskSettings) -> TaskResult:
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
    methods = [_method(name, own, fitted, settings) for name, own in by_method.items()]
    tables = {
        "queries": _query_table(data, tested, by_method),
        "weights": question_table(features, fitted),
        "mixtures": mixture_table(fitted),
        "explanations": explanations(Explained(data, features, problem.judged, fitted[0], splits[0][1])),
    }
    learnt = "own split" if data.train else "share" if settings.retrieval.train_share else "folds"
    n_train = int(np.mean([len(train) for train, _ in splits]))
    note = f"{len(data.documents)} documents, {len(tested)} test queries, learnt from {n_train} others ({learnt})"
    return TaskResult(methods, _differences(by_method, settings), tables, [*data.notes, note])


def _problem(data: RetrievalSet, features: Features) -> Problem:
    queries, documents = list(data.queries.values()), list(data.documents.values())
    asked, held = features.rows(queries), features.rows(documents)
    words = tf_idf([*queries, *documents], documents)
    plain = {
        "bm25": bm25_scores(queries, documents),
        "tfidf": np.asarray((words[: len(queries)] @ words[len(queries) :].T).todense(), np.float64),
        "embedding": (features.embedding[asked] @ features.embedding[held].T).astype(np.float64),
    }
    return Problem(
        plain,
        features.margin[asked],
        features.mass[asked],
        features.margin[held],
        features.mass[held],
        Judged(data.grade_matrix, data.own),
    )


def _splits(data: RetrievalSet, settings: TaskSettings) -> list[tuple[Rows, Rows]]:
    """Return (train, test) numbers of queries."""
    own, n, seed = settings.retrieval, len(data.queries), settings.seed
    if data.train:
        in_train = np.array([query in data.train for query in data.queries])
        splits = [(np.flatnonzero(in_train), np.flatnonzero(~in_train))]
    elif own.train_share:
        splits = [split_off(n, round(n * own.train_share), seed)]
    else:
        splits = list(held_out_in_turn(in_runs(n, own.n_folds, seed)))
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
    ties, judged = tie_order(list(data.documents)), problem.judged
    grades, never = np.where(judged.never, 0.0, judged.grades)[tested], judged.never[tested]
    found = {}
    for name in fitted[0].scores:
        scores = np.concatenate([one.scores[name] for one in fitted])
        found[name] = rank_metrics(np.where(never, _WORST, scores), grades, ties)
    return found


def _method(name: str, per_query: Mapping[str, Matrix], fitted: list[Fitted], settings: TaskSettings) -> MethodResult:
    metrics: dict[str, float] = {}
    for metric, values in per_query.items():
        metrics |= mean_with_interval(values, settings.n_resamples, settings.seed).metrics(metric)
    shares = np.mean([one.shares[name] for one in fitted], axis=0).tolist() if name in fitted[0].shares else None
    return MethodResult(name, metrics, {"weights": shares} if shares else {})


def _differences(by_method: Mapping[str, Mapping[str, Matrix]], settings: TaskSettings) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for better, baseline in PAIRS:
        for metric in _COMPARED:
            own = paired_difference(
                by_method[better][metric], by_method[baseline][metric], settings.n_resamples, settings.seed
            )
            metrics |= own.metrics(f"{better}_minus_{baseline}_{metric}")
    return metrics


def _query_table(data: RetrievalSet, tested: Rows, by_method: Mapping[str, Mapping[str, Matrix]]) -> pd.DataFrame:
    """Return a row per test query: its text, and each method's nDCG."""
    names, texts = list(data.queries), list(data.queries.values())
    columns = {name: own[f"ndcg_{NDCG_AT}"] for name, own in by_method.items()}
    return pd.DataFrame({"query": [names[row] for row in tested], "text": [texts[row] for row in tested], **columns})
