"""What a linear model of texts may stand on: each representation learns from training rows, and gives all rows.

A representation is a function from the rows that it may learn from to a matrix of all texts, so that nothing of a text
that is tested, or of a fold that is held out, has a part in it. Entries are of about one in size, so that one grid of
penalties suits all: answers are standardised, vectors of length 1 are multiplied by the root of their dimension, and
TF-IDF rows, which have a few large entries, by ten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.selection.elastic_net import Products, sets_of_sizes
from qaemb.tasks.answer_vectors import Usual, answer_deviations
from qaemb.tasks.folds import Rows
from qaemb.tasks.task import Features, Values

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Represent = Callable[[Rows], "Array | csr_matrix"]

_TFIDF_SCALE = 10.0
_L1_RATIO = 0.9  # as in `select`: enough of an L2 term that questions which say the same do not fight


def standardised(features: Features, train: Rows, questions: Sequence[int] | None = None) -> Array:
    """Return answers of all texts (texts, questions) in deviations from what is usual in the training rows, times mass.

    Margins are log odds: if answers are independent given the label, then the label's log odds are a weighted sum of
    theirs. So a linear model takes margins, and not probabilities, which are flat where an answer is sure.
    """
    columns = slice(None) if questions is None else list(questions)
    margin, mass = features.margin[:, columns], features.mass[:, columns]
    return answer_deviations(margin, mass, Usual.of(margin[train]))


def answered(features: Features, at_least: int, key: str, question_set: str) -> list[int]:
    """Return the questions that are answered for some text; BadInput if they are fewer than `key` asks for.

    Others (mass 0 for all texts: a student abstains) tell nothing, and are no fair control either.
    """
    columns = np.flatnonzero((features.mass > 0).any(axis=0)).tolist()
    if len(columns) < at_least:
        raise BadInput(
            f"{key} asks for {at_least} questions, and of set `{question_set}` {len(columns)} are answered; take "
            "fewer, or another set"
        )
    return columns


def embedded(embedding: Values) -> Represent:
    """Return the embedding itself: it learns nothing."""
    scaled = embedding.astype(np.float64) * np.sqrt(embedding.shape[1])
    return lambda train: scaled


def tfidf(texts: Sequence[str]) -> Represent:
    """Return TF-IDF of words and pairs of words, sublinear, with the vocabulary and weights of the training texts.

    BadInput if these have no word at all.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    def represent(train: Rows) -> csr_matrix:
        try:
            learnt = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit([texts[row] for row in train])
        except ValueError as error:
            raise BadInput(
                f"no word of two letters in any of {len(train)} training texts, such as "
                f"`{texts[train[0]][:60]}`; give texts with words"
            ) from error
        return learnt.transform(texts) * _TFIDF_SCALE

    return represent


def some_answers(features: Features, questions: Sequence[int]) -> Represent:
    """Return the standardised answers to some questions, whatever the training rows are."""
    return lambda train: standardised(features, train, questions)


class ChosenAnswers:
    """Sets of questions that tell the classes apart, chosen from training rows alone; kept per set of rows.

    The multi-task elastic net on indicators of the classes, each over the root of its class's share, so that rare
    classes weigh as much as frequent ones (the metric of optimal scoring): a question leaves for all classes at once.
    """

    def __init__(self, features: Features, codes: Rows, sizes: Sequence[int]) -> None:
        self._features, self._codes, self._sizes = features, codes, list(sizes)
        self._kept: dict[bytes, list[list[int]]] = {}

    def sets(self, train: Rows) -> list[list[int]]:
        """Return the columns of the questions chosen for each size."""
        key = train.tobytes()
        if key not in self._kept:
            self._kept[key] = [kept for _, kept in sets_of_sizes(self._products(train), self._sizes, progress=False)]
        return self._kept[key]

    def of_size(self, size: int) -> Represent:
        """Return the standardised answers to the questions that the training rows choose, `size` of them."""
        position = self._sizes.index(size)
        return lambda train: standardised(self._features, train, self.sets(train)[position])

    def _products(self, train: Rows) -> Products:
        answers = standardised(self._features, train)[train]
        answers -= answers.mean(axis=0)  # where the mass varies, the mean is no longer 0
        indicators = (self._codes[train][:, None] == np.unique(self._codes[train])).astype(np.float64)
        targets = (indicators - indicators.mean(axis=0)) / np.sqrt(indicators.mean(axis=0))
        return Products(answers.T @ answers / len(train), answers.T @ targets / len(train), _L1_RATIO)
