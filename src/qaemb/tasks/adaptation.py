"""Choosing questions for a data set without its labels: by what it is said to be about, or by how its answers vary.

Each way gives a relevance between 0 and 1 for every question. Questions are then taken one by one: the next has the
largest relevance times novelty, the share of its answers' variance that no question already taken explains, so that
five wordings of one matter don't fill the set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qaemb.tasks.task import Features

Array = NDArray[np.float64]
Numbers = Sequence[int] | NDArray[np.int64]


def relevances(features: Features, texts: Numbers, description: int | None) -> Iterator[tuple[str, Array]]:
    """Yield (name, relevance (questions,)) for each way, from the rows of the texts and of the description.

    `wording`: similarity of the question's wording and the description, both embedded. `described`: the answer to the
    question about the description itself, beside its answers about the texts. `varied`: the variance of P(yes), which
    needs no description.
    """
    margin = features.margin.astype(np.float64)
    own = margin[list(texts)]
    if description is not None:
        cosines = features.question_embedding.astype(np.float64) @ features.embedding[description].astype(np.float64)
        yield "wording", _unit(cosines)
        deviation = own.std(axis=0)
        above = np.divide(
            margin[description] - own.mean(axis=0), deviation, out=np.zeros(own.shape[1]), where=deviation > 0
        )
        yield "described", _unit(above)
    yield "varied", _unit((1.0 / (1.0 + np.exp(-own))).var(axis=0))


def choose(relevance: Array, answers: Array, n_chosen: int) -> list[int]:
    """Return `n_chosen` questions, in order, by relevance (questions,) and novelty beside answers (texts, questions).

    A question whose answers do not vary is taken last: it tells no texts apart.
    """
    centred = answers - answers.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    novelty = np.where(lengths > 0, 1.0, 0.0)
    chosen: list[int] = []
    for _ in range(min(n_chosen, len(relevance))):
        score = relevance * novelty
        score[chosen] = -1.0
        best = int(score.argmax())
        chosen.append(best)
        novelty = np.minimum(novelty, 1.0 - np.square(unit.T @ unit[:, best]))
    return chosen


def _unit(values: Array) -> Array:
    """Return values moved and scaled to lie between 0 and 1."""
    low, high = values.min(), values.max()
    scaled: Array = (values - low) / (high - low) if high > low else np.ones_like(values)
    return scaled
