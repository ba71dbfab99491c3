"""Similarity of pairs of texts, compared with people's ratings by Spearman's rho. Nothing is learnt from the ratings.

Pairs are read from CSV, from JSON lines, and from sets in installed packages.

**Cognitive load** is the mean number of questions that both texts of a pair get a yes to: what someone has to read who
asks why two texts count as alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.rows import csv_rows, json_rows, read_text
from qaemb.settings import SimilarityTask
from qaemb.stats import spearman
from qaemb.tasks.packaged import is_packaged, read_lee, read_packaged
from qaemb.tasks.representations import Usual, answer_vectors, bm25_scores, tf_idf
from qaemb.tasks.resampling import Estimate, interval
from qaemb.tasks.task import Features, MethodResult, TaskResult

_COLUMNS = ("first", "second", "score")
_FEWEST = 3


@dataclass(frozen=True)
class _Pairs:
    """Pairs of texts and how similar people find them (pairs,), on any scale."""

    first: list[str]
    second: list[str]
    score: NDArray[np.float64]

    @property
    def texts(self) -> list[str]:
        """All texts, each once."""
        return list(dict.fromkeys([*self.first, *self.second]))

    @property
    def numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers in `texts` of first and second (pairs,)."""
        row = {text: number for number, text in enumerate(self.texts)}
        first, second = ([row[text] for text in texts] for texts in (self.first, self.second))
        return np.array(first, np.int64), np.array(second, np.int64)


def read_pairs(path: Path) -> _Pairs:
    """Return the pairs of a .csv or .jsonl file (`first`, `second`, `score`) or of a folder that names a package.

    BadInput names the file and line that is wrong.
    """
    if is_packaged(path):
        return read_packaged(path, {"lee": _lee, "simlex999": _simlex, "wordsim353": _wordsim})
    if path.suffix == ".csv":
        return _pairs(csv_rows(path, _COLUMNS), path)
    if path.suffix == ".jsonl":
        return _pairs(json_rows(path), path)
    raise BadInput(f"{path} is no set of pairs; expected a .csv or .jsonl file with {', '.join(_COLUMNS)}")


def _pairs(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> _Pairs:
    first: list[str] = []
    second: list[str] = []
    scores: list[float] = []
    for place, row in rows:
        for texts, column in ((first, "first"), (second, "second")):
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise BadInput(f"{place}: `{column}` has no text; write it or take the line out")
            texts.append(row[column].strip())
        scores.append(_score(row.get("score"), place))
    if len(scores) < _FEWEST or len(set(scores)) == 1:
        raise BadInput(f"{path}: {len(scores)} pairs, {len(set(scores))} different scores: too few to rank")
    return _Pairs(first, second, np.array(scores))


def _score(value: Any, place: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise BadInput(f"{place}: score `{value}` is not a finite number")
    return score


def _lee(root: Path) -> _Pairs:
    texts, similarity = read_lee(root)
    rows, columns = np.triu_indices(len(texts), 1)
    return _Pairs([texts[row] for row in rows], [texts[column] for column in columns], similarity[rows, columns])


def _simlex(root: Path) -> _Pairs:
    return _word_pairs(root / "test/test_data/simlex999.txt")


def _wordsim(root: Path) -> _Pairs:
    return _word_pairs(root / "test/test_data/wordsim353.tsv")


def _word_pairs(path: Path) -> _Pairs:
    """Return the pairs of a file of two words and a score, separated by tabs, with comments after `#`."""

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            place, values = f"{path}, line {number}", line.split("\t")
            if line.startswith("#") or not line.strip():
                continue
            if len(values) != len(_COLUMNS):
                raise BadInput(f"{place}: expected two words and a score, separated by tabs")
            yield place, dict(zip(_COLUMNS, values, strict=True))

    return _pairs(rows(), path)


Matrix = NDArray[np.float64]

ANSWERS = ("answers", "answers_rarity", "answers_probability", "answers_yes_no")
_COMPARED = (("answers", "tfidf"), ("answers", "bm25"), ("answers", "embedding"), ("answers_rarity", "answers"))
_TINY = 1e-12


def evaluate_similarity(pairs: _Pairs, features: Features, settings: SimilarityTask) -> TaskResult:
    """Return Spearman's rho of every method with the ratings, its interval, differences, and the cognitive load."""
    first, second = pairs.numbers
    measures = _measures(pairs, features)
    shared = _shared_yes(features, pairs)
    rho = {name: _spearman(values, pairs.score) for name, values in measures.items()}
    sampled: dict[str, list[float]] = {name: [] for name in [*measures, "shared_yes"]}
    samples = _resampled_pairs(first, second, settings.n_resamples, settings.seed)
    for rows in tqdm(samples, total=settings.n_resamples, desc="resample pairs", unit="sample"):
        for name, values in measures.items():
            sampled[name].append(_spearman(values[rows], pairs.score[rows]))
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


def _spearman(values: Matrix, scores: Matrix) -> float:
    """Return the correlation of ranks, ties at their mean rank; 0 where all values are alike."""
    return float(np.nan_to_num(spearman(values, scores)))


def _resampled_pairs(
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


def _measures(pairs: _Pairs, features: Features) -> dict[str, Matrix]:
    """Return method -> similarity of each pair (pairs,)."""
    texts = pairs.texts
    rows = features.rows(texts)
    first, second = pairs.numbers
    margin = features.margin[rows]
    yes = expit(margin.astype(np.float64))
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


def _shared_yes(features: Features, pairs: _Pairs) -> Matrix:
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
        estimate: Estimate = interval(rho[better] - rho[baseline], difference)
        metrics |= estimate.metrics(f"{better}_minus_{baseline}_spearman")
    return metrics


def _note(pairs: _Pairs) -> str:
    n_texts = len(pairs.texts)
    over = "pairs" if n_texts == 2 * len(pairs.score) else "texts, as pairs share them"
    return f"{len(pairs.score)} pairs of {n_texts} texts; intervals by a bootstrap over {over}"
