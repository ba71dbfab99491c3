"""Texts with planted answers: what evaluates tasks can be tested without a model."""

from __future__ import annotations

import numpy as np

from qaemb.questions import Question
from qaemb.tasks.retrieval.sets import RetrievalSet
from qaemb.tasks.task import Features

WORDS = ("river", "lamp", "goat", "bread", "stone", "piano", "snow", "ladder", "market", "engine", "violet", "harbour")


def features_of(texts: list[str], margin: np.ndarray, mass: np.ndarray | None = None, seed: int = 0) -> Features:
    """Features with these margins, mass 1 unless given, and an embedding that knows nothing."""
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(len(texts), 16))
    questions = [Question(f"q{number}", f"Is it thing {number}?") for number in range(margin.shape[1])]
    return Features(
        texts,
        questions,
        margin.astype(np.float32),
        (np.ones_like(margin) if mass is None else mass).astype(np.float32),
        (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32),
        rng.normal(size=(len(questions), 16)).astype(np.float32),
    )


def planted_set(
    n_documents: int = 30, n_queries: int = 40, n_questions: int = 8, seed: int = 0, train: int = 0
) -> tuple[RetrievalSet, Features]:
    """A query's relevant document has its answers to the first three questions; all else, words too, is noise."""
    rng = np.random.default_rng(seed)
    documents = {f"d{n}": f"document {n} {' '.join(rng.choice(WORDS, 5))}" for n in range(n_documents)}
    queries = {f"q{n}": f"query {n} {' '.join(rng.choice(WORDS, 3))}" for n in range(n_queries)}
    relevant = rng.integers(n_documents, size=n_queries)
    grades = {name: {f"d{number}": 1.0} for name, number in zip(queries, relevant, strict=True)}
    of_documents = rng.normal(size=(n_documents, n_questions))
    of_queries = rng.normal(size=(n_queries, n_questions)) + 3.0  # another style: more yes to everything
    of_queries[:, :3] = of_documents[relevant, :3] + 3.0 + 0.2 * rng.normal(size=(n_queries, 3))
    data = RetrievalSet(documents, queries, grades, frozenset(list(queries)[:train]))
    return data, features_of([*documents.values(), *queries.values()], np.vstack([of_documents, of_queries]))
