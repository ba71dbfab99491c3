"""Clustering: k-means on answers beside TF-IDF and the embedding, also on answers to a few questions.

The few questions are chosen without labels, by what the data set is said to be about, or by how its answers vary. Each
way gives every question a relevance between 0 and 1. Questions are then chosen one by one: the next has the largest
product of relevance and novelty. Novelty is the share of a question's variance that no question chosen before explains,
so that five wordings of one matter don't fill the set.

Scores come for many resamples of the texts at once. A resample is a weight for each text: how often it was drawn.
Weights are (resamples, texts), and a score is a number for each resample. A first row of ones gives the score of the
texts themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.settings import ClusteringTask
from qaemb.tasks.labelled import Labelled, Rows
from qaemb.tasks.representations import Usual, answer_deviations, answered, tfidf
from qaemb.tasks.resampling import Estimate
from qaemb.tasks.task import Features, MethodResult, TaskResult

Array = NDArray[np.float64]
Numbers = Sequence[int] | NDArray[np.int64]


def _relevances(features: Features, texts: Numbers, description: int | None) -> Iterator[tuple[str, Array]]:
    """Yield (name, relevance (questions,)) for each way, from the rows of the texts and of the description.

    `wording`: similarity of the question's wording and the description, both embedded. `described`: the answer to the
    question about the description itself, beside its answers about the texts. `varied`: the variance of P(yes), which
    needs no description.
    """
    margin = features.margin.astype(np.float64)
    answers = margin[list(texts)]
    if description is not None:
        cosines = features.question_embedding.astype(np.float64) @ features.embedding[description].astype(np.float64)
        yield "wording", _unit(cosines)
        deviation = answers.std(axis=0)
        above = np.divide(
            margin[description] - answers.mean(axis=0), deviation, out=np.zeros(answers.shape[1]), where=deviation > 0
        )
        yield "described", _unit(above)
    yield "varied", _unit((1.0 / (1.0 + np.exp(-answers))).var(axis=0))


def _choose(relevance: Array, answers: Array, n_chosen: int) -> list[int]:
    """Return `n_chosen` questions, in order, by relevance (questions,) and novelty beside answers (texts, questions).

    A question whose answers do not vary is taken last: it tells no texts apart.
    """
    centred = answers - answers.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    novelty = np.where(lengths > 0, 1.0, 0.0)
    columns: list[int] = []
    for _ in range(min(n_chosen, len(relevance))):
        score = relevance * novelty
        score[columns] = -1.0
        best = int(score.argmax())
        columns.append(best)
        novelty = np.minimum(novelty, 1.0 - np.square(unit.T @ unit[:, best]))
    return columns


def _unit(values: Array) -> Array:
    """Return values moved and scaled to lie between 0 and 1."""
    low, high = values.min(), values.max()
    scaled: Array = (values - low) / (high - low) if high > low else np.ones_like(values)
    return scaled


ALL, RANDOM, TFIDF, EMBEDDING = "answers_all", "random", "tfidf", "embedding"
_MOST_PAIRED = 2000  # texts whose distances are taken, pair by pair
_NORMAL = 1.96  # deviations on either side that hold 95 % of a normal distribution
_SHOWN = 3  # questions that describe a cluster


@dataclass(frozen=True)
class Described:
    """Labelled texts and what they are said to be; the description is answered and embedded like a text."""

    labelled: Labelled
    description: str | None = None

    @property
    def texts(self) -> list[str]:
        """All texts, each once, and the description."""
        return list(dict.fromkeys([*self.labelled.texts, *([self.description] if self.description else [])]))


@dataclass(frozen=True)
class _Method:
    """What is clustered: one matrix (texts, dimensions), or several whose scores are averaged; and its questions."""

    name: str
    matrices: Sequence[Any]
    n_questions: int | None = None
    questions: Sequence[int] = ()


@dataclass(frozen=True)
class _Clustered:
    """The clusters of each run (runs, texts), and per score its values (1 + resamples,): means over runs."""

    clusters: Rows
    scores: dict[str, Array]
    seed_sd: float

    def metrics(self) -> dict[str, float]:
        """Return each score with its interval, and the deviation of the V-measure over runs."""
        metrics = {
            key: value for name, values in self.scores.items() for key, value in _estimate(values).metrics(name).items()
        }
        return metrics | {"v_measure_sd_runs": self.seed_sd}


def evaluate_clustering(task: Described, features: Features, settings: ClusteringTask) -> TaskResult:
    """Return V-measure, adjusted Rand index and separation of the classes for all methods, with intervals over texts.

    Labels score the clusters, and give their number where `n_clusters` doesn't; nothing else sees them. `metrics`
    compares each way to choose questions with all and with random ones. Tables: `chosen`, `clusters`.
    """
    spec, labelled = settings.clustering, task.labelled
    n_clusters = spec.n_clusters or len(labelled.classes)
    if n_clusters >= len(labelled.texts):
        raise BadInput(f"{len(labelled.texts)} texts can't form {n_clusters} clusters; give more texts, or n_clusters")
    weights = _resamples(labelled.units, settings.n_resamples, settings.seed)
    methods = list(_methods(task, features, settings))
    with threadpool_limits(1), tqdm(methods, desc="clustering", unit="method") as bar:
        clustered = {method.name: _cluster(method, labelled.codes, n_clusters, weights, settings) for method in bar}
    results = [
        MethodResult(method.name, clustered[method.name].metrics(), {"n_questions": method.n_questions})
        for method in methods
    ]
    metrics, notes = _compare(clustered)
    tables = {"chosen": _chosen(methods, features), "clusters": _describe(task, features, methods, clustered)}
    return TaskResult(results, {"n_texts": len(labelled.texts), "n_clusters": n_clusters, **metrics}, tables, notes)


def _estimate(values: Array) -> Estimate:
    """Return the first value with an interval from the deviation of the others, its values in resamples.

    Their percentiles would not do: a resample has texts twice, which always agree with themselves, so that scores of
    agreement lie higher in resamples than in the texts.
    """
    half = _NORMAL * float(values[1:].std(ddof=1))
    return Estimate(float(values[0]), float(values[0]) - half, float(values[0]) + half)


def _methods(task: Described, features: Features, settings: ClusteringTask) -> Iterator[_Method]:
    spec = settings.clustering
    rows = features.rows(task.labelled.texts)
    description = features.rows([task.description])[0] if task.description else None
    usable = answered(features, spec.n_chosen, "clustering.n_chosen", settings.set)
    answers = answer_deviations(features.margin[rows], features.mass[rows], Usual.of(features.margin[rows]))
    yield _Method(ALL, [_directions(answers)], len(usable))
    for name, relevance in _relevances(features, rows, description):
        questions = _choose(relevance, answers, spec.n_chosen)
        yield _Method(f"answers_{name}", [_directions(answers[:, questions])], spec.n_chosen, questions)
    rng = np.random.default_rng(settings.seed)
    drawn = [rng.permutation(usable)[: spec.n_chosen] for _ in range(spec.n_random)]
    yield _Method(RANDOM, [_directions(answers[:, questions]) for questions in drawn], spec.n_chosen)
    yield _Method(TFIDF, [tfidf(task.labelled.texts)(np.arange(len(rows)))])
    yield _Method(EMBEDDING, [features.embedding[rows].astype(np.float64)])


def _directions(vectors: Array) -> Array:
    """Return vectors of length 1, as those of TF-IDF and of the embedding are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _cluster(method: _Method, codes: Rows, n_clusters: int, weights: Array, settings: ClusteringTask) -> _Clustered:
    from sklearn.cluster import KMeans

    spec = settings.clustering
    runs = [
        KMeans(n_clusters, n_init=spec.n_init, random_state=settings.seed + number).fit_predict(matrix).astype(np.int64)
        for matrix in method.matrices
        for number in range(spec.n_seeds)
    ]
    by_run = np.array([_v_measure(codes, run, weights) for run in runs])
    scores = {
        "v_measure": by_run.mean(axis=0),
        "adjusted_rand": np.mean([_adjusted_rand(codes, run, weights) for run in runs], axis=0),
        "separation": np.mean([_separation(matrix, codes, weights, settings) for matrix in method.matrices], axis=0),
    }
    return _Clustered(np.array(runs), scores, float(by_run[:, 0].std()))


def _separation(matrix: Any, codes: Rows, weights: Array, settings: ClusteringTask) -> Array:
    from sklearn.metrics import pairwise_distances

    paired = np.random.default_rng(settings.seed).permutation(len(codes))[:_MOST_PAIRED]
    return _space_separation(pairwise_distances(matrix[paired]), codes[paired], weights[:, paired])


def _compare(clustered: dict[str, _Clustered]) -> tuple[dict[str, float], list[str]]:
    """Return, for each way to choose, its V-measure and separation less those of all and of random questions."""
    metrics: dict[str, float] = {}
    notes = []
    ways = [name for name in clustered if name not in (ALL, RANDOM, TFIDF, EMBEDDING)]
    for name in ways:
        for baseline in (ALL, RANDOM):
            for score in ("v_measure", "separation"):
                difference = _estimate(clustered[name].scores[score] - clustered[baseline].scores[score])
                metrics |= difference.metrics(f"{name}_minus_{baseline}_{score}")
                ends = f"{difference.low:+.3f} to {difference.high:+.3f}"
                notes.append(f"{score} of {name} less {baseline}: {difference.value:+.3f} ({ends})")
    return metrics, notes


def _chosen(methods: Sequence[_Method], features: Features) -> pd.DataFrame:
    """Return the questions that each way chose, in order: `way`, `position`, `name`, `question`."""
    rows = [
        (method.name, position, features.questions[column].name, features.questions[column].text)
        for method in methods
        for position, column in enumerate(method.questions, start=1)
    ]
    return pd.DataFrame(rows, columns=["way", "position", "name", "question"])


def _describe(
    task: Described, features: Features, methods: Sequence[_Method], clustered: dict[str, _Clustered]
) -> pd.DataFrame:
    """Return a row for each cluster of the first run on the first chosen questions, the largest first.

    `cluster`, `n_texts`, its most frequent `label` with its `share`, and `more_yes`, `more_no`: the questions whose
    mean answer in the cluster is farthest above and below that of all texts.
    """
    method = next(method for method in methods if method.questions)
    clusters, answers = clustered[method.name].clusters[0], method.matrices[0]
    names, rows = [features.questions[column].text for column in method.questions], []
    for cluster in np.unique(clusters).tolist():
        members = clusters == cluster
        counts = np.bincount(task.labelled.codes[members])
        order = np.argsort(answers[members].mean(axis=0), kind="stable")
        ends = [" | ".join(names[column] for column in part) for part in (order[::-1][:_SHOWN], order[:_SHOWN])]
        label = task.labelled.classes[counts.argmax()]
        rows.append((cluster, int(members.sum()), label, float(counts.max() / members.sum()), *ends))
    table = pd.DataFrame(rows, columns=["cluster", "n_texts", "label", "share", "more_yes", "more_no"])
    return table.sort_values("n_texts", ascending=False, kind="stable")


def _resamples(units: Rows, n_resamples: int, seed: int) -> Array:
    """Return weights (1 + n_resamples, texts): ones, then how often a bootstrap sample has each text.

    `units` (texts,) numbers the unit of each text from 0: those of one unit are drawn together.
    """
    rng, n_units = np.random.default_rng(seed), units.max() + 1
    drawn = [np.bincount(rng.integers(n_units, size=n_units), minlength=n_units)[units] for _ in range(n_resamples)]
    return np.array([np.ones(len(units)), *drawn])


def _v_measure(labels: Rows, clusters: Rows, weights: Array) -> Array:
    """Return the V-measure (resamples,): the harmonic mean of homogeneity and completeness, 2 I / (H + H)."""
    table = _table(labels, clusters, weights) / weights.sum(axis=1)[:, None, None]
    of_labels, of_clusters = _entropy(table.sum(axis=2)), _entropy(table.sum(axis=1))
    both = of_labels + of_clusters
    shared = both - _entropy(table.reshape(len(table), -1))
    return np.divide(2.0 * shared, both, out=np.ones_like(both), where=both > 0)


def _adjusted_rand(labels: Rows, clusters: Rows, weights: Array) -> Array:
    """Return the adjusted Rand index (resamples,): the share of pairs that both agree on, less what chance gives."""
    table = _table(labels, clusters, weights)
    together = _pairs(table).sum(axis=(1, 2))
    by_label, by_cluster = _pairs(table.sum(axis=2)).sum(axis=1), _pairs(table.sum(axis=1)).sum(axis=1)
    chance = by_label * by_cluster / _pairs(weights.sum(axis=1))
    spread = (by_label + by_cluster) / 2.0 - chance
    return np.divide(together - chance, spread, out=np.ones_like(spread), where=spread != 0)


def _space_separation(distances: Array, labels: Rows, weights: Array) -> Array:
    """Return the mean distance of pairs with different labels less that of pairs with the same, (resamples,).

    `distances` (texts, texts) are first divided by the root of their mean square over all pairs, so that spaces with
    different numbers of dimensions compare. A text is no pair with itself.
    """
    others = ~np.eye(len(labels), dtype=bool)
    scaled = distances / np.sqrt(np.square(distances[others]).mean())
    same = labels[:, None] == labels
    return _pair_mean(scaled, others & ~same, weights) - _pair_mean(scaled, others & same, weights)


def _table(labels: Rows, clusters: Rows, weights: Array) -> Array:
    """Return the weight in each label and cluster, (resamples, labels, clusters)."""
    n_labels, n_clusters = labels.max() + 1, clusters.max() + 1
    cells = np.eye(n_labels * n_clusters)[labels * n_clusters + clusters]
    return (weights @ cells).reshape(-1, n_labels, n_clusters)


def _entropy(shares: Array) -> Array:
    """Return the entropy in nats of shares (resamples, parts)."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: Array = -(shares * logs).sum(axis=1)
    return entropy


def _pairs(counts: Array) -> Array:
    return counts * (counts - 1.0) / 2.0


def _pair_mean(values: Array, pairs: NDArray[np.bool_], weights: Array) -> Array:
    total = ((weights @ (values * pairs)) * weights).sum(axis=1)
    mean: Array = total / ((weights @ pairs.astype(np.float64)) * weights).sum(axis=1)
    return mean
