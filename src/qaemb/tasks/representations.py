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

from qaemb.selection.elastic_net import Products, sets_of_sizes
from qaemb.tasks.folds import Rows
from qaemb.tasks.task import Values

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Represent = Callable[[Rows], "Array | csr_matrix"]

_TFIDF_SCALE = 10.0
_L1_RATIO = 0.9  # as in `select`: enough of an L2 term that questions which say the same do not fight


def standardised(margin: Values, train: Rows) -> Array:
    """Return margins (texts, questions) less the training rows' mean, over their deviation; constant ones become 0.

    Margins are log odds: if answers are independent given the label, then the label's log odds are a weighted sum of
    theirs. So a linear model takes margins, and not probabilities, which are flat where an answer is sure.
    """
    own = margin[train].astype(np.float64)
    deviation = own.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    scaled: Array = (margin - own.mean(axis=0)) * scale
    return scaled


def embedded(embedding: Values) -> Represent:
    """Return the embedding itself: it learns nothing."""
    scaled = embedding.astype(np.float64) * np.sqrt(embedding.shape[1])
    return lambda train: scaled


def tfidf(texts: Sequence[str]) -> Represent:
    """Return TF-IDF of words and pairs of words, sublinear, with the vocabulary and weights of the training texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    def represent(train: Rows) -> csr_matrix:
        learnt = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit([texts[row] for row in train])
        return learnt.transform(texts) * _TFIDF_SCALE

    return represent


def some_answers(margin: Values, questions: Sequence[int]) -> Represent:
    """Return the standardised answers to some questions, whatever the training rows are."""
    return lambda train: standardised(margin[:, list(questions)], train)


class ChosenAnswers:
    """Sets of questions that tell the classes apart, chosen from training rows alone; kept per set of rows.

    The multi-task elastic net on indicators of the classes, each over the root of its class's share, so that rare
    classes weigh as much as frequent ones (the metric of optimal scoring): a question leaves for all classes at once.
    """

    def __init__(self, margin: Values, codes: Rows, sizes: Sequence[int]) -> None:
        self._margin, self._codes, self._sizes = margin, codes, list(sizes)
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
        return lambda train: standardised(self._margin[:, self.sets(train)[position]], train)

    def _products(self, train: Rows) -> Products:
        answers = standardised(self._margin, train)[train]
        indicators = (self._codes[train][:, None] == np.unique(self._codes[train])).astype(np.float64)
        targets = (indicators - indicators.mean(axis=0)) / np.sqrt(indicators.mean(axis=0))
        return Products(answers.T @ answers / len(train), answers.T @ targets / len(train), _L1_RATIO)
