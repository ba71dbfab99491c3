"""Classification by sparse linear models on answers, beside baselines: accuracy against the number of questions.

A model is a logistic regression. Folds inside the training rows choose its penalty. The tables explain a model on
answers: its questions with their weights, and what each question contributed to the label of single texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qaemb.settings import ClassificationTask
from qaemb.tasks.labelled import Labelled, Rows, Split, folds, outer_splits
from qaemb.tasks.representations import ChosenAnswers, Represent, answered, embedded, some_answers, tfidf
from qaemb.tasks.resampling import Estimate, Scores, mean_with_interval, paired_difference
from qaemb.tasks.task import Features, MethodResult, TaskResult

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


Folds = Sequence[tuple[Rows, Rows]]

EMBEDDING, TFIDF, MAJORITY = "embedding", "tfidf", "majority"


@dataclass(frozen=True)
class _Method:
    """A linear model on answers or on a baseline; one representation for each draw, whose predictions are averaged."""

    name: str
    family: str
    n_questions: int | None
    draws: Sequence[Represent]


@dataclass(frozen=True)
class _Problem:
    """A data set, its features, the answered questions, the outer splits, and folds inside the train rows of each."""

    labelled: Labelled
    features: Features
    settings: ClassificationTask
    questions: Sequence[int]
    splits: Sequence[Split]
    inner: Sequence[Folds]
    chooser: ChosenAnswers


def evaluate_classification(labelled: Labelled, features: Features, settings: ClassificationTask) -> TaskResult:
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


def _problem(labelled: Labelled, features: Features, settings: ClassificationTask) -> _Problem:
    spec = settings.classification
    questions = answered(features, spec.sizes[-1], "classification.sizes", settings.set)
    splits = outer_splits(labelled, spec.n_folds, spec.n_repeats, settings.seed)
    inner = [folds(labelled, split.train, spec.n_inner, settings.seed) for split in splits]
    chooser = ChosenAnswers(features, labelled.codes, spec.sizes)
    return _Problem(labelled, features, settings, questions, splits, inner, chooser)


def _methods(problem: _Problem) -> Iterator[_Method]:
    """Yield all methods in the order to show; the largest class stands for a model on nothing."""
    features, spec = problem.features, problem.settings.classification
    for size in spec.sizes:
        yield _Method(f"answers_{size}", "answers", size, [problem.chooser.of_size(size)])
    yield _Method("answers_all", "answers", len(problem.questions), [some_answers(features, problem.questions)])
    rng = np.random.default_rng(problem.settings.seed)
    orders = [rng.permutation(problem.questions) for _ in range(spec.n_random)]
    for size in spec.sizes:
        yield _Method(
            f"random_{size}", "random", size, [some_answers(features, order[:size].tolist()) for order in orders]
        )
    yield _Method(TFIDF, TFIDF, None, [tfidf(problem.labelled.texts)])
    yield _Method(EMBEDDING, EMBEDDING, None, [embedded(features.embedding)])
    yield _Method(MAJORITY, MAJORITY, 0, [])


def _predict_all(problem: _Problem, methods: Sequence[_Method]) -> dict[str, _Predictions]:
    n_models = len(problem.splits) * sum(len(method.draws) for method in methods)
    predictions = {}
    with tqdm(total=n_models, desc="classification", unit="model") as bar:
        for method in methods:
            draws = []
            for represent in method.draws:
                draws.append([_predict(problem, represent, number) for number in range(len(problem.splits))])
                bar.update(len(problem.splits))
            runs = draws or [[_largest_class(problem, split) for split in problem.splits]]
            predictions[method.name] = _join(problem.labelled, problem.splits, runs)
    return predictions


def _predict(problem: _Problem, represent: Represent, number: int) -> Rows:
    split = problem.splits[number]
    fitted = _fit(represent, problem.labelled.codes, split.train, problem.inner[number])
    predicted: Rows = fitted.model.predict(fitted.matrix[split.test])
    return predicted


def _largest_class(problem: _Problem, split: Split) -> Rows:
    return np.full(len(split.test), np.bincount(problem.labelled.codes[split.train]).argmax())


def _explain(problem: _Problem) -> dict[str, pd.DataFrame]:
    """Return the tables of the model of the first split, on the number of questions that is compared."""
    settings, split = problem.settings, problem.splits[0]
    spec = settings.classification
    fitted = _fit(problem.chooser.of_size(spec.compared), problem.labelled.codes, split.train, problem.inner[0])
    position = spec.sizes.index(spec.compared)
    columns = [problem.chooser.sets(each.train)[position] for each in problem.splits]
    drawn = np.random.default_rng(settings.seed).permutation(split.test)[: spec.n_explained]
    return {
        "questions": _question_table(problem.labelled, problem.features, fitted, columns),
        "contributions": _contribution_table(problem.labelled, problem.features, fitted, columns[0], drawn),
    }


def _curve(results: Sequence[MethodResult]) -> pd.DataFrame:
    """Return a row a method: `method` (answers, random, a baseline), `n_questions` (none: empty), metrics."""
    rows = [{"method": r.params["family"], "n_questions": r.params["n_questions"], **r.metrics} for r in results]
    return pd.DataFrame(rows).astype({"n_questions": "Int64"})


def _compare(predictions: dict[str, _Predictions], settings: ClassificationTask) -> tuple[dict[str, float], list[str]]:
    """Return the difference of accuracy of the compared answers to each baseline, and sentences that say the same."""
    size = settings.classification.compared
    answers, notes = predictions[f"answers_{size}"], []
    metrics: dict[str, float] = {}
    for baseline in (EMBEDDING, TFIDF, f"random_{size}", "answers_all"):
        difference = answers.less(predictions[baseline], settings.n_resamples, settings.seed)
        metrics |= difference.metrics(f"answers_{size}_minus_{baseline}")
        notes.append(
            f"accuracy of answers_{size} less {baseline}: {difference.value:+.3f} "
            f"({difference.low:+.3f} to {difference.high:+.3f}, p {difference.p:.3f})"
        )
    return metrics, notes


PENALTIES = tuple(10.0**power for power in (-3, -2, -1, 0, 1))  # scikit-learn's C: from strong to weak
_MAX_STEPS = 2000


@dataclass(frozen=True)
class _Fitted:
    """A model, its penalty, and the matrix of all texts that it stands on."""

    model: LogisticRegression
    penalty: float
    matrix: Any


def _fit(represent: Represent, codes: Rows, train: Rows, inner: Sequence[tuple[Rows, Rows]]) -> _Fitted:
    """Return a logistic regression on the training rows, at the penalty of the least log loss in the inner folds.

    What the representation learns (a vocabulary, which questions) is learnt anew in each inner fold.
    """
    losses = np.zeros(len(PENALTIES))
    for part, held_out in inner:
        losses += _losses(represent(part), codes, part, held_out)
    penalty = PENALTIES[int(losses.argmin())]
    matrix = represent(train)
    return _Fitted(_model(penalty).fit(matrix[train], codes[train]), penalty, matrix)


def _losses(matrix: Any, codes: Rows, part: Rows, held_out: Rows) -> NDArray[np.float64]:
    """Return the summed log loss of held-out rows at each penalty; each fit begins where the one before ended."""
    from sklearn.metrics import log_loss

    model = _model(PENALTIES[0]).set_params(warm_start=True)
    classes = np.unique(codes[part])
    rows = held_out[np.isin(codes[held_out], classes)]  # with groups, a class may be in the held-out fold alone
    losses = []
    for penalty in PENALTIES:
        model.set_params(C=penalty).fit(matrix[part], codes[part])
        losses.append(log_loss(codes[rows], model.predict_proba(matrix[rows]), normalize=False, labels=classes))
    return np.array(losses)


def _model(penalty: float) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, max_iter=_MAX_STEPS)


@dataclass(frozen=True)
class _Predictions:
    """Codes of labels: of the tested texts (texts,), and predicted in each run (runs, texts).

    A run is a repeat of the folds, or a draw of random questions in it. Texts of one of `units` (texts,) are resampled
    together.
    """

    truth: Rows
    predicted: Rows
    units: Rows

    @property
    def correct(self) -> Scores:
        """How often each text was classified right, as a share of the runs, (texts,)."""
        share: Scores = (self.predicted == self.truth).mean(axis=0)
        return share

    def metrics(self, n_resamples: int, seed: int) -> dict[str, float]:
        """Return accuracy with its interval, balanced accuracy and macro F1, means over runs."""
        from sklearn.metrics import balanced_accuracy_score, f1_score

        balanced = [balanced_accuracy_score(self.truth, run) for run in self.predicted]
        f1 = [f1_score(self.truth, run, average="macro", zero_division=0.0) for run in self.predicted]
        accuracy = mean_with_interval(self.correct, n_resamples, seed, self.units)
        return {
            **accuracy.metrics("accuracy"),
            "balanced_accuracy": float(np.mean(balanced)),
            "macro_f1": float(np.mean(f1)),
        }

    def less(self, other: _Predictions, n_resamples: int, seed: int) -> Estimate:
        """Return the difference of accuracy to another method on the same texts."""
        return paired_difference(self.correct, other.correct, n_resamples, seed, self.units)


def _join(labelled: Labelled, splits: Sequence[Split], draws: Sequence[Sequence[Rows]]) -> _Predictions:
    """Return the predictions of one method from those of the test rows of each split, for each draw of questions."""
    n_repeats = 1 + max(split.repeat for split in splits)
    runs = np.full((len(draws), n_repeats, len(labelled.texts)), -1, np.int64)
    for draw, by_split in zip(runs, draws, strict=True):
        for split, predicted in zip(splits, by_split, strict=True):
            draw[split.repeat, split.test] = predicted
    tested = np.flatnonzero((runs >= 0).all(axis=(0, 1)))
    return _Predictions(
        labelled.codes[tested], runs.reshape(-1, len(labelled.texts))[:, tested], labelled.units[tested]
    )


Array = NDArray[np.float64]

INTERCEPT = "(intercept)"


def _class_scores(fitted: _Fitted) -> tuple[Array, Array]:
    """Return weights (classes, questions) and intercepts (classes,) whose softmax is the model's probability."""
    weights, intercepts = fitted.model.coef_, fitted.model.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the second one's log odds alone
        return np.concatenate([-weights / 2, weights / 2]), np.concatenate([-intercepts / 2, intercepts / 2])
    return weights, intercepts


def _question_table(
    labelled: Labelled, features: Features, fitted: _Fitted, columns: Sequence[Sequence[int]]
) -> pd.DataFrame:
    """Return a row per question of the model, the heaviest first.

    `columns`: the columns of the questions of each split, those of the model's split first. Returned are `name`,
    `question`; `share_of_splits` whose training texts chose it; `weight_LABEL` per deviation of its answer.
    """
    weights, _ = _class_scores(fitted)
    order = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")
    names = [labelled.classes[code] for code in fitted.model.classes_]
    rows: list[dict[str, Any]] = []
    for position in order:
        question = features.questions[columns[0][position]]
        share = float(np.mean([columns[0][position] in set_columns for set_columns in columns]))
        of_labels = {f"weight_{name}": weight for name, weight in zip(names, weights[:, position], strict=True)}
        rows.append({"name": question.name, "question": question.text, "share_of_splits": share, **of_labels})
    return pd.DataFrame(rows)


def _contribution_table(
    labelled: Labelled, features: Features, fitted: _Fitted, columns: Sequence[int], rows: Rows
) -> pd.DataFrame:
    """Return, for each text of `rows`, what each question adds to the log odds of the predicted label against the next.

    `row` of the data set, `text`, `label`, `predicted`, `instead_of` (the label next in line), `question`, `answer`
    (probability of yes), `contribution`: they and the intercept's sum up to the log odds. The largest of a text first.
    """
    weights, intercepts = _class_scores(fitted)
    names = [labelled.classes[code] for code in fitted.model.classes_]
    parts = []
    for row in rows:
        scores = weights @ fitted.matrix[row] + intercepts
        first, second = np.argsort(-scores)[:2]
        added = (weights[first] - weights[second]) * fitted.matrix[row]
        table = pd.DataFrame(
            {
                "row": int(row),
                "text": labelled.texts[row],
                "label": labelled.label[row],
                "predicted": names[first],
                "instead_of": names[second],
                "question": [*(features.questions[column].text for column in columns), INTERCEPT],
                "answer": [*(1.0 / (1.0 + np.exp(-features.margin[row, list(columns)].astype(float)))), np.nan],
                "contribution": [*added, intercepts[first] - intercepts[second]],
            }
        )
        parts.append(table.sort_values("contribution", key=np.abs, ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
