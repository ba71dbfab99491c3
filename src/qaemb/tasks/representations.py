"""Texts as numbers: matrices that linear models learn from, scores of words, and answers as vectors.

A representation (`Represent`) is a function from the rows that it may learn from to a matrix of all texts. So no text
that is tested, and none of a held-out fold, has a part in what it learns. Entries are of about one in size, so that one
grid of penalties suits all: answers are standardised, vectors of length 1 are multiplied by the root of their
dimension, and TF-IDF rows, which have a few large entries, by ten.

Two baselines compare words: BM25 (bm25s) and TF-IDF (scikit-learn), on the same stemmed words.

An answer vector has margins in deviations from what is usual, times the mass (how far the model was answering).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.selection.elastic_net import Products, sets_of_sizes
from qaemb.tasks.labelled import Rows
from qaemb.tasks.task import Features, Values

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Represent = Callable[[Rows], "Array | csr_matrix"]

_TFIDF_SCALE = 10.0
_TINY = 1e-9
_L1_RATIO = 0.9  # as in `select`: enough of an L2 term that questions which say the same do not fight


def _standardised(features: Features, train: Rows, questions: Sequence[int] | None = None) -> Array:
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
    return lambda train: _standardised(features, train, questions)


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
            sets = sets_of_sizes(self._products(train), self._sizes, progress=False)
            self._kept[key] = [columns for _, columns in sets]
        return self._kept[key]

    def of_size(self, size: int) -> Represent:
        """Return the standardised answers to the questions that the training rows choose, `size` of them."""
        position = self._sizes.index(size)
        return lambda train: _standardised(self._features, train, self.sets(train)[position])

    def _products(self, train: Rows) -> Products:
        answers = _standardised(self._features, train)[train]
        answers -= answers.mean(axis=0)  # where the mass varies, the mean is no longer 0
        indicators = (self._codes[train][:, None] == np.unique(self._codes[train])).astype(np.float64)
        targets = (indicators - indicators.mean(axis=0)) / np.sqrt(indicators.mean(axis=0))
        return Products(answers.T @ answers / len(train), answers.T @ targets / len(train), _L1_RATIO)


def _stems(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each text in lower case, without English stop words, cut to their stems (Snowball)."""
    import bm25s
    import Stemmer

    tokens = bm25s.tokenize(
        list(texts), stopwords="en_plus", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    return [[word for word in words if word] for words in tokens]


def bm25_scores(queries: Sequence[str], documents: Sequence[str]) -> Array:
    """Return BM25 of every query and document (queries, documents): Lucene's form, k1 1.5, b 0.75."""
    import bm25s

    words_of = _stems(documents)
    scores = np.zeros((len(queries), len(documents)))
    if not any(words_of):
        return scores
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
    index.index(words_of, show_progress=False)
    for row, words in enumerate(_stems(queries)):
        ids = index.get_tokens_ids(words)
        if ids:
            scores[row] = index.get_scores_from_ids(ids)
    return scores


def tf_idf(texts: Sequence[str], fitted_on: Sequence[str]) -> csr_matrix:
    """Return TF-IDF vectors of length 1 (texts, words), the words' frequencies in texts taken from `fitted_on`."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = _stems(fitted_on)
    if not any(words):
        return csr_matrix((len(texts), 1))
    vectorizer = TfidfVectorizer(analyzer=_same, sublinear_tf=True).fit(words)
    return vectorizer.transform(_stems(texts))


def _same(words: list[str]) -> list[str]:
    return words


@dataclass(frozen=True)
class Usual:
    """What is usual per question: `centre`, the mean margin, and `scale`, its standard deviation, both (questions,)."""

    centre: Array
    scale: Array

    @classmethod
    def of(cls, margin: Values) -> Usual:
        """Return mean and deviation over texts (texts, questions)."""
        return cls(margin.mean(axis=0, dtype=np.float64), margin.std(axis=0, dtype=np.float64))


def answer_deviations(margin: Values, mass: Values, usual: Usual) -> Array:
    """Return (texts, questions): margins in standard deviations from the usual, times the mass.

    A cell in which the model was not answering (mass 0, also where a student abstains) then says nothing, and a
    question that all texts answer alike, nothing either.
    """
    deviation = (margin - usual.centre) / np.maximum(usual.scale, _TINY)
    return np.where(usual.scale > _TINY, deviation, 0.0) * mass


def answer_vectors(margin: Values, mass: Values, usual: Usual) -> Array:
    """Return answer deviations as vectors of length 1 (texts, questions); a text without any answer is all 0."""
    vectors = answer_deviations(margin, mass, usual)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
