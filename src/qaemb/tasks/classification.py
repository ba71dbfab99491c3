"""Classification by sparse linear models on answers, beside baselines: accuracy against the number of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.settings import TaskSettings
from qaemb.tasks.labelled import Labelled, Rows, Split, folds, outer_splits
from qaemb.tasks.linear import Predictions, contribution_table, fit, join, question_table
from qaemb.tasks.representations import ChosenAnswers, Represent, answered, embedded, some_answers, tfidf
from qaemb.tasks.task import Features, MethodResult, TaskResult

Folds = Sequence[tuple[Rows, Rows]]

EMBEDDING, TFIDF, MAJORITY = "embedding", "tfidf", "majority"


@dataclass(frozen=True)
class Method:
    """A linear model on answers or on a baseline; one representation for each draw, whose predictions are averaged."""

    name: str
    family: str
    n_questions: int | None
    draws: Sequence[Represent]


@dataclass(frozen=True)
class Problem:
    """A data set, what is known of its texts, the answered questions, who is tested, and folds inside the rest."""

    labelled: Labelled
    features: Features
    settings: TaskSettings
    questions: Sequence[int]
    splits: Sequence[Split]
    inner: Sequence[Folds]
    chooser: ChosenAnswers


def evaluate_classification(labelled: Labelled, features: Features, settings: TaskSettings) -> TaskResult:
    """Return the accuracy of answers to chosen, random and all questions, TF-IDF, the embedding, and the largest class.

    Questions, vocabulary and penalty are chosen inside the training texts of each split. `metrics` compares the answers
    to `compared` questions with each baseline on the same test texts. Tables: `curve`, `questions`, `contributions`.
    """
    problem = _problem(labelled, features, settings)
    methods = list(_methods(problem))
    with threadpool_limits(1):  # the problems are small: more threads would wait for each other
        predictions = _predict_all(problem, methods)
        tables = _explain(problem)
    results = [
        MethodResult(
            method.name,
            predictions[method.name].metrics(settings.n_resamples, settings.seed),
            {"family": method.family, "n_questions": method.n_questions},
        )
        for method in methods
    ]
    comparison, notes = _compare(predictions, settings)
    about = {"n_texts": len(labelled.texts), "n_tested": len(predictions[MAJORITY].truth)}
    return TaskResult(results, about | comparison, {"curve": _curve(results), **tables}, notes)


def _problem(labelled: Labelled, features: Features, settings: TaskSettings) -> Problem:
    own = settings.classification
    questions = answered(features, own.sizes[-1], "classification.sizes", settings.set)
    splits = outer_splits(labelled, own.n_folds, own.n_repeats, settings.seed)
    inner = [folds(labelled, split.train, own.n_inner, settings.seed) for split in splits]
    chooser = ChosenAnswers(features, labelled.codes, own.sizes)
    return Problem(labelled, features, settings, questions, splits, inner, chooser)


def _methods(problem: Problem) -> Iterator[Method]:
    """Yield all methods in the order to show; the largest class stands for a model on nothing."""
    features, own = problem.features, problem.settings.classification
    for size in own.sizes:
        yield Method(f"answers_{size}", "answers", size, [problem.chooser.of_size(size)])
    yield Method("answers_all", "answers", len(problem.questions), [some_answers(features, problem.questions)])
    rng = np.random.default_rng(problem.settings.seed)
    orders = [rng.permutation(problem.questions) for _ in range(own.n_random)]
    for size in own.sizes:
        yield Method(
            f"random_{size}", "random", size, [some_answers(features, order[:size].tolist()) for order in orders]
        )
    yield Method(TFIDF, TFIDF, None, [tfidf(problem.labelled.texts)])
    yield Method(EMBEDDING, EMBEDDING, None, [embedded(features.embedding)])
    yield Method(MAJORITY, MAJORITY, 0, [])


def _predict_all(problem: Problem, methods: Sequence[Method]) -> dict[str, Predictions]:
    n_models = len(problem.splits) * sum(len(method.draws) for method in methods)
    predictions = {}
    with tqdm(total=n_models, desc="classification", unit="model") as bar:
        for method in methods:
            draws = []
            for represent in method.draws:
                draws.append([_predict(problem, represent, number) for number in range(len(problem.splits))])
                bar.update(len(problem.splits))
            own = draws or [[_largest_class(problem, split) for split in problem.splits]]
            predictions[method.name] = join(problem.labelled, problem.splits, own)
    return predictions


def _predict(problem: Problem, represent: Represent, number: int) -> Rows:
    split = problem.splits[number]
    fitted = fit(represent, problem.labelled.codes, split.train, problem.inner[number])
    predicted: Rows = fitted.model.predict(fitted.matrix[split.test])
    return predicted


def _largest_class(problem: Problem, split: Split) -> Rows:
    return np.full(len(split.test), np.bincount(problem.labelled.codes[split.train]).argmax())


def _explain(problem: Problem) -> dict[str, pd.DataFrame]:
    """Return the tables of the model of the first split, on the number of questions that is compared."""
    settings, split = problem.settings, problem.splits[0]
    own = settings.classification
    fitted = fit(problem.chooser.of_size(own.compared), problem.labelled.codes, split.train, problem.inner[0])
    position = own.sizes.index(own.compared)
    chosen = [problem.chooser.sets(each.train)[position] for each in problem.splits]
    drawn = np.random.default_rng(settings.seed).permutation(split.test)[: own.n_explained]
    return {
        "questions": question_table(problem.labelled, problem.features, fitted, chosen),
        "contributions": contribution_table(problem.labelled, problem.features, fitted, chosen[0], drawn),
    }


def _curve(results: Sequence[MethodResult]) -> pd.DataFrame:
    """Return a row a method: `method` (answers, random, a baseline), `n_questions` (none: empty), metrics."""
    rows = [{"method": r.params["family"], "n_questions": r.params["n_questions"], **r.metrics} for r in results]
    return pd.DataFrame(rows).astype({"n_questions": "Int64"})


def _compare(predictions: dict[str, Predictions], settings: TaskSettings) -> tuple[dict[str, float], list[str]]:
    """Return the difference of accuracy of the compared answers to each baseline, and sentences that say the same."""
    size = settings.classification.compared
    own, notes = predictions[f"answers_{size}"], []
    metrics: dict[str, float] = {}
    for baseline in (EMBEDDING, TFIDF, f"random_{size}", "answers_all"):
        difference = own.less(predictions[baseline], settings.n_resamples, settings.seed)
        metrics |= difference.metrics(f"answers_{size}_minus_{baseline}")
        notes.append(
            f"accuracy of answers_{size} less {baseline}: {difference.value:+.3f} "
            f"({difference.low:+.3f} to {difference.high:+.3f}, p {difference.p:.3f})"
        )
    return metrics, notes
