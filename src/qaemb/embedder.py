"""`QAEmbedder`: texts to readable features, as a scikit-learn transformer; no project, no DVC, no Feast, no MLflow.

`_LinearScore` reads the weights of named features off a fitted linear model, whatever its steps are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from qaemb.answers import Answerer, Answers
from qaemb.answers.default import answerer_here
from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.errors import BadInput, BadParameter, listed
from qaemb.files import atomic_folder, read_json, write_json
from qaemb.models.inputs import check_inputs
from qaemb.questions import Question
from qaemb.questions.sets import shipped_set

Values = NDArray[np.float64]
_TOLERANCE = 1e-6


class _LinearScore:
    """What a fitted scikit-learn model says of features (texts, questions): one number a text.

    Its `decision_function`, or `predict` where it has none; `target` is the class or output, where there are several.
    BadInput for a model that was fitted on other columns than `names`, or that can't be asked.
    """

    def __init__(self, model: Any, names: Sequence[str], target: int = 0) -> None:
        self._model, self._names, self._target = model, list(names), target
        ask = getattr(model, "decision_function", None) or getattr(model, "predict", None)
        if ask is None:
            raise BadInput(f"{type(model).__name__} neither predicts nor decides; give a fitted linear model")
        self._ask = ask
        _check_columns(model, self._names)

    def __call__(self, features: Values) -> Values:
        """Return the scores (texts,)."""
        named = hasattr(self._model, "feature_names_in_")
        values = self._ask(pd.DataFrame(features, columns=self._names) if named else features)
        scores = np.asarray(values, np.float64).reshape(len(features), -1)
        if not 0 <= self._target < scores.shape[1]:
            raise BadInput(f"target is {self._target}, the model has {scores.shape[1]} outputs; give one from 0 on")
        return scores[:, self._target]

    def weights(self) -> Values:
        """Return the weight of each feature (questions,): how the score changes with it."""
        at = self(np.vstack([np.zeros(len(self._names)), np.eye(len(self._names))]))
        return at[1:] - at[0]

    def check_linear(self, feature: Values, base: Values, weights: Values) -> None:
        """Raise BadInput where the score of `feature` (questions,) is not that of `base` plus weights times steps."""
        of_base, of_feature = self(np.vstack([base, feature]))
        shares = weights * (feature - base)
        if abs(of_base + shares.sum() - of_feature) > _TOLERANCE * (1 + np.abs(shares).sum()):
            raise BadInput(f"{type(self._model).__name__} is not linear in the features; give a linear model")


def _check_columns(model: Any, names: Sequence[str]) -> None:
    """Raise BadInput where a fitted model wants other columns than `names`; it names what is missing and too much."""
    fitted = getattr(model, "feature_names_in_", None)
    if fitted is None:
        n_features = getattr(model, "n_features_in_", len(names))
        if n_features != len(names):
            raise BadInput(
                f"the model was fitted on {n_features} features, there are {len(names)} questions; fit it again"
            )
        return
    missing, more = ([name for name in a if name not in set(b)] for a, b in ((fitted, names), (names, fitted)))
    if missing or more:
        raise BadInput(
            f"the model was fitted on other questions: it wants {_listed(missing)}, and does not know {_listed(more)}; "
            "take the set that it was fitted on"
        )
    if list(fitted) != list(names):
        raise BadInput("the model was fitted on these questions in another order; put them in that order")


def _listed(names: Sequence[str]) -> str:
    return listed(f"`{name}`" for name in names) or "nothing more"


Features = NDArray[np.float32]
Output = Literal["margin", "probability", "answer"]

_BLOCK_TEXTS = 256
_SMALLEST_SD = 1e-6


class QAEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # without types
    """Embeds texts by the answers to yes/no questions: one named feature a question.

    `questions`: a set that comes with qaemb (`core`, `full`, ...), or questions of your own, as a list or, with names
    for their columns, as a mapping from name to question. `answerer`: the folder of a language model, or any object
    that answers (`qaemb.answers.Answerer`); None: the student that comes with qaemb, which runs on any machine.
    `output`: `margin` (log-odds of yes, in nats), `probability` of yes, or `answer` (1 yes, 0 no). `cache`: a folder
    where answers are kept, so that no text is asked twice; None: qaemb's own below the user's cache folder.

    After `fit`: `questions_` and, per question over the texts of `fit`, `mean_` and `sd_` of the margin, with which
    `explain` tells what is unusual of a text.
    """

    def __init__(
        self,
        questions: str | Sequence[str] | Mapping[str, str] = "core",
        answerer: Answerer | str | Path | None = None,
        output: Output = "margin",
        cache: str | Path | None = None,
    ) -> None:
        self.questions = questions
        self.answerer = answerer
        self.output = output
        self.cache = cache

    def fit(self, X: Sequence[str], y: object = None) -> QAEmbedder:
        """Answer the texts, which become the corpus that `explain` compares with; `y` is not used.

        BadInput for a text or question that is empty, no string or (question) listed twice; BadParameter for an unknown
        set or output.
        """
        if self.output not in ("margin", "probability", "answer"):
            raise BadParameter(f"output is `{self.output}`; take margin, probability or answer")
        self.questions_ = _questions(self.questions)
        margin = self._margins(_texts(X))
        self.mean_ = margin.mean(axis=0, dtype=np.float64)
        self.sd_ = margin.std(axis=0, dtype=np.float64)
        self.n_texts_ = len(margin)
        return self

    def transform(self, X: Sequence[str]) -> Features:
        """Return features float32 (texts, questions); errors as in `fit`."""
        check_is_fitted(self)
        return self._features(self._margins(_texts(X)))

    def mass(self, X: Sequence[str]) -> Features:
        """Return float32 (texts, questions): P(yes) + P(no), how far the answerer was answering at all.

        A student that abstains answers with mass 0: its margin is there, but may not be trusted. Errors as in `fit`.
        """
        check_is_fitted(self)
        return self._answers(_texts(X)).mass

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the questions: columns of a pandas or polars output."""
        check_is_fitted(self)
        return np.array([question.name for question in self.questions_], dtype=object)

    def explain(self, text: str, other: str | None = None) -> pd.DataFrame:
        """Return what is unusual of a text, or what makes two texts alike and different.

        One text: a row per question with `question`, `answer`, `probability`, `margin`, `mass` and `unusual`, the
        margin's distance from the mean of the texts of `fit` in standard deviations; the most unusual first. Two
        texts: `first` and `second` are these distances, `difference` = first - second, and `alike`, their product: how
        much the question adds to the texts' likeness; what differs most first, so that what is most alike is found by
        sorting.
        """
        check_is_fitted(self)
        answers = self._answers([text] if other is None else [text, other])
        margin = answers.margin.astype(np.float64)
        unusual = (margin - self.mean_) / np.maximum(self.sd_, _SMALLEST_SD)
        table = pd.DataFrame({"question": [question.text for question in self.questions_]}, self._names())
        if other is None:
            probability = expit(margin[0])
            table = table.assign(
                answer=np.where(margin[0] > 0, "yes", "no"),
                probability=probability,
                margin=margin[0],
                mass=answers.mass[0],
                unusual=unusual[0],
            )
            return table.sort_values("unusual", key=np.abs, ascending=False, kind="stable")
        table = table.assign(
            first=unusual[0], second=unusual[1], difference=unusual[0] - unusual[1], alike=unusual[0] * unusual[1]
        )
        return table.sort_values("difference", key=np.abs, ascending=False, kind="stable")

    def contributions(self, text: str, model: Any, target: int = 0) -> pd.DataFrame:
        """Return each question's share of what a linear model, fitted on these features, predicts of a text.

        `model`: a regression or a classifier that is linear in the features, or a pipeline of scaling or selecting
        steps before one. A row per question with `feature`, `weight` and `share` = weight * (feature - mean over the
        texts of `fit`), the largest first. The shares and `attrs["base"]`, the model's prediction at these means, add
        up to its score (`decision_function`, or `predict` of a regression). `target`: the class or output, where there
        are several. BadInput if the model was fitted on other features (the difference is named) or is not linear.
        """
        check_is_fitted(self)
        names = [question.name for question in self.questions_]
        feature = self._features(self._margins([text]))[0].astype(np.float64)
        base = self._base()
        score = _LinearScore(model, names, target)
        weight = score.weights()
        share = weight * (feature - base)
        score.check_linear(feature, base, weight)
        table = pd.DataFrame({"feature": feature, "weight": weight, "share": share}, self._names())
        table.attrs["base"] = float(score(base[None])[0])
        return table.sort_values("share", key=np.abs, ascending=False, kind="stable")

    def save(self, folder: str | Path) -> None:
        """Write what `fit` found to a folder: questions, output, corpus figures, and the answerer's key."""
        check_is_fitted(self)
        with atomic_folder(Path(folder)) as new:
            write_json(
                new / "embedder.json",
                {
                    "questions": [{"name": one.name, "text": one.text} for one in self.questions_],
                    "output": self.output,
                    "own_answerer": self.answerer is not None,
                    "key": self._stored.answerer.key,
                    "n_texts": self.n_texts_,
                    "mean": self.mean_.tolist(),
                    "sd": self.sd_.tolist(),
                },
            )

    @classmethod
    def load(
        cls, folder: str | Path, answerer: Answerer | str | Path | None = None, cache: str | Path | None = None
    ) -> QAEmbedder:
        """Return an embedder that `save` wrote; `answerer` must be given where it was fitted with one of your own.

        BadInput if the answerer is another one than it was fitted with: its features would mean something else.
        """
        saved = read_json(Path(folder) / "embedder.json")
        if saved["own_answerer"] and answerer is None:
            raise BadInput(f"{folder} was fitted with an answerer of key {saved['key']}; give it as `answerer`")
        embedder = cls({one["name"]: one["text"] for one in saved["questions"]}, answerer, saved["output"], cache)
        embedder.questions_ = _questions(embedder.questions)
        embedder.mean_, embedder.sd_ = np.array(saved["mean"]), np.array(saved["sd"])
        embedder.n_texts_ = int(saved["n_texts"])
        if embedder._stored.answerer.key != saved["key"]:
            raise BadInput(
                f"{folder} was fitted with an answerer of key {saved['key']}, this one has "
                f"{embedder._stored.answerer.key}; give the same one, or fit again"
            )
        return embedder

    def __sklearn_clone__(self) -> QAEmbedder:
        """Return an unfitted copy that shares the answerer: scikit-learn would copy its model's weights."""
        copy = type(self)(**self.get_params(deep=False))
        if hasattr(self, "_sklearn_output_config"):
            copy._sklearn_output_config = dict(self._sklearn_output_config)
        return copy

    def __sklearn_tags__(self) -> Any:
        """Say that X is a list of texts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: not the opened model, which is opened again where it is needed."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def _margins(self, texts: list[str]) -> Features:
        return self._answers(texts).margin

    def _answers(self, texts: list[str]) -> Answers:
        """Return the answers (texts, questions); only what the cache lacks is answered."""
        check_inputs(texts, [question.text for question in self.questions_])
        grid = Wanted.of(list(dict.fromkeys(texts)), [question.text for question in self.questions_])
        answers = self._stored.get(grid, _BLOCK_TEXTS)
        row = {text: number for number, text in enumerate(grid.texts)}
        rows = [row[text] for text in texts]
        return Answers(answers.margin[rows], answers.mass[rows])

    def _features(self, margin: Features) -> Features:
        if self.output == "margin":
            return margin
        return expit(margin) if self.output == "probability" else (margin > 0).astype(np.float32)

    def _base(self) -> NDArray[np.float64]:
        """Return a point (questions,) that features are compared with: those of the mean margin."""
        return self._features(self.mean_.astype(np.float32)).astype(np.float64)

    def _names(self) -> pd.Index:
        return pd.Index(self.get_feature_names_out(), name="name")

    @property
    def _stored(self) -> Stored:
        """The answerer over the cache; a model is opened once for the same `answerer` and `cache`."""
        opened: tuple[object, object, Stored] | None = getattr(self, "_opened", None)
        if opened is None or opened[0] is not self.answerer or opened[1] != self.cache:
            folder = Path(self.cache) if self.cache is not None else _cache_folder()
            if self.answerer is None or isinstance(self.answerer, str | Path):
                name, answerer = answerer_here(self.answerer, folder)
            else:
                name, answerer = "answers", self.answerer
            opened = self._opened = self.answerer, self.cache, Stored(name, answerer, folder / "store")
        return opened[2]


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qaemb"


def _texts(texts: Any) -> list[str]:
    """Return texts as a list; BadInput for a single text, which would be taken for a list of letters."""
    if isinstance(texts, str):
        raise BadInput("X is one text; give a list of texts: [text]")
    if getattr(texts, "ndim", 1) != 1:
        raise BadInput(f"X is a table of shape {texts.shape}; give one column of texts")
    return list(texts)


def _questions(source: str | Sequence[str] | Mapping[str, str]) -> list[Question]:
    """Return the questions of a shipped set or of the user; those of a list are named by their words."""
    if isinstance(source, str):
        return list(shipped_set(source).questions)
    named = source.items() if isinstance(source, Mapping) else [(text, text) for text in source]
    questions = [Question(name, text) for name, text in named]
    texts = [question.text for question in questions]
    twice = [text for number, text in enumerate(texts) if text in texts[:number]]
    if twice:
        raise BadInput(f"question {twice[0]!r} is listed twice; remove one")
    return questions
