"""Similarity of pairs of texts, beside people's ratings (Spearman's rho). Nothing is learnt from the ratings.

**Cognitive load** is the mean number of questions that both texts of a pair get a yes to: what someone has to read who
asks why two texts count as alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.settings import TaskSettings
from qaemb.tasks.answer_vectors import Usual, answer_vectors
from qaemb.tasks.lexical import bm25_scores, tf_idf
from qaemb.tasks.pairs import Pairs
from qaemb.tasks.resampling import Estimate, interval
from qaemb.tasks.task import Features, MethodResult, TaskResult

Matrix = NDArray[np.float64]

ANSWERS = ("answers", "answers_rarity", "answers_probability", "answers_yes_no")
_COMPARED = (("answers", "tfidf"), ("answers", "bm25"), ("answers", "embedding"), ("answers_rarity", "answers"))
_TINY = 1e-12


def evaluate_similarity(pairs: Pairs, features: Features, settings: TaskSettings) -> TaskResult:
    """Return Spearman's rho of every method with the ratings, its interval, differences, and the cognitive load."""
    first, second = pairs.numbers
    measures = _measures(pairs, features)
    shared = _shared_yes(features, pairs)
    rho = {name: spearman(own, pairs.score) for name, own in measures.items()}
    sampled: dict[str, list[float]] = {name: [] for name in [*measures, "shared_yes"]}
    samples = resampled_pairs(first, second, settings.n_resamples, settings.seed)
    for rows in tqdm(samples, total=settings.n_resamples, desc="resample pairs", unit="sample"):
        for name, own in measures.items():
            sampled[name].append(spearman(own[rows], pairs.score[rows]))
        sampled["shared_yes"].append(float(shared[rows].mean()))
    methods = []
    for name in measures:
        metrics = interval(rho[name], sampled[name]).metrics("spearman")
        if name in ANSWERS:
            metrics |= interval(float(shared.mean()), sampled["shared_yes"]).metrics("shared_yes")
        methods.append(MethodResult(name, metrics))
    table = pd.DataFrame({"first": pairs.first, "second": pairs.second, "score": pairs.score, **measures})
    differences = _differences(rho, sampled)
    return TaskResult(methods, differences, {"pairs": table.assign(shared_yes=shared)}, [_note(pairs)])


def spearman(values: Matrix, scores: Matrix) -> float:
    """Return the correlation of ranks, ties at their mean rank; 0 where all values are alike."""
    from scipy.stats import rankdata

    a, b = (rankdata(own) - (len(own) + 1) / 2 for own in (values, scores))
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), _TINY))


def resampled_pairs(
    first: NDArray[np.int64], second: NDArray[np.int64], n_resamples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield bootstrap samples of pairs, as numbers of pairs with repetition.

    Where every text stands in one pair, pairs are drawn. Where texts are shared, pairs are not independent: texts are
    drawn, and a pair counts as often as its first text times as often as its second was drawn. A draw without any pair,
    which few texts may give, is drawn again.
    """
    rng = np.random.default_rng(seed)
    n_texts = int(max(first.max(), second.max())) + 1
    apart = n_texts == 2 * len(first)
    for _ in range(n_resamples):
        if apart:
            yield rng.integers(len(first), size=len(first))
        else:
            times = np.zeros(len(first), np.int64)
            while not times.any():
                drawn = np.bincount(rng.integers(n_texts, size=n_texts), minlength=n_texts)
                times = drawn[first] * drawn[second]
            yield np.repeat(np.arange(len(first)), times)


def _measures(pairs: Pairs, features: Features) -> dict[str, Matrix]:
    """Return method -> similarity of each pair (pairs,)."""
    texts = pairs.texts
    rows = features.rows(texts)
    first, second = pairs.numbers
    margin = features.margin[rows]
    yes = 1 / (1 + np.exp(-margin.astype(np.float64)))
    vectors = answer_vectors(margin, features.mass[rows], Usual.of(margin))
    rarity = -np.log(np.maximum(yes.mean(axis=0), _TINY))
    words, bm25 = tf_idf(texts, texts), bm25_scores(texts, texts)
    return {
        "answers": _cosine(vectors, first, second),
        "answers_rarity": _cosine(vectors * np.sqrt(rarity), first, second),
        "answers_probability": _cosine(yes, first, second),
        "answers_yes_no": _cosine((margin > 0).astype(np.float64), first, second),
        "embedding": _cosine(features.embedding[rows].astype(np.float64), first, second),
        "tfidf": np.asarray(words[first].multiply(words[second]).sum(axis=1), np.float64).ravel(),
        "bm25": (bm25[first, second] + bm25[second, first]) / 2,
    }


def _shared_yes(features: Features, pairs: Pairs) -> Matrix:
    """Return how many questions get a yes from both texts of each pair (pairs,)."""
    yes = features.margin > 0
    first, second = features.rows(pairs.first), features.rows(pairs.second)
    return (yes[first] & yes[second]).sum(axis=1).astype(np.float64)


def _cosine(vectors: Matrix, first: NDArray[np.int64], second: NDArray[np.int64]) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1)
    product = np.einsum("ij,ij->i", vectors[first], vectors[second])
    return np.asarray(product / np.maximum(lengths[first] * lengths[second], _TINY), np.float64)


def _differences(rho: dict[str, float], sampled: dict[str, list[float]]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for better, baseline in _COMPARED:
        difference = np.subtract(sampled[better], sampled[baseline]).tolist()
        own: Estimate = interval(rho[better] - rho[baseline], difference)
        metrics |= own.metrics(f"{better}_minus_{baseline}_spearman")
    return metrics


def _note(pairs: Pairs) -> str:
    n_texts = len(pairs.texts)
    over = "pairs" if n_texts == 2 * len(pairs.score) else "texts, as pairs share them"
    return f"{len(pairs.score)} pairs of {n_texts} texts; intervals by a bootstrap over {over}"
