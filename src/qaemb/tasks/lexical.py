"""Baselines that compare words: BM25 (bm25s) and TF-IDF (scikit-learn), on the same stemmed words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Matrix = NDArray[np.float64]


def stems(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each text in lower case, without English stop words, cut to their stems (Snowball)."""
    import bm25s
    import Stemmer

    found = bm25s.tokenize(
        list(texts), stopwords="en_plus", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    return [[word for word in words if word] for words in found]


def bm25_scores(queries: Sequence[str], documents: Sequence[str]) -> Matrix:
    """Return BM25 of every query and document (queries, documents): Lucene's form, k1 1.5, b 0.75."""
    import bm25s

    words_of = stems(documents)
    scores = np.zeros((len(queries), len(documents)))
    if not any(words_of):
        return scores
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
    index.index(words_of, show_progress=False)
    for row, words in enumerate(stems(queries)):
        known = index.get_tokens_ids(words)
        if known:
            scores[row] = index.get_scores_from_ids(known)
    return scores


def tf_idf(texts: Sequence[str], fitted_on: Sequence[str]) -> csr_matrix:
    """Return TF-IDF vectors of length 1 (texts, words), the words' frequencies in texts taken from `fitted_on`."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = stems(fitted_on)
    if not any(known):
        return csr_matrix((len(texts), 1))
    vectorizer = TfidfVectorizer(analyzer=_same, sublinear_tf=True).fit(known)
    return vectorizer.transform(stems(texts))


def _same(words: list[str]) -> list[str]:
    return words
