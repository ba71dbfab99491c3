"""Which texts a training step takes and what it asks of each: a function of the seed and the step alone.

Nothing is kept between steps, so that a training that was killed goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qaemb.distill.cells import TeacherCells
from qaemb.distill.lm.settings import LmTraining
from qaemb.errors import BadInput

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_MOST_WEIGHT = 10.0  # of a cell: a question with yes once in a thousand would else be all that a step learns from


@dataclass(frozen=True)
class Step:
    """The cells of one step: numbers of its `texts`, of the questions `asked` of each, and what each cell pulls to.

    `yes`, `no` float32 (cells,): weight times label, and weight times (1 - label), text by text.
    """

    texts: Ints
    asked: list[Ints]
    yes: Floats
    no: Floats


class Sampler:
    """The steps of a training on `data`; texts of which nothing is known are left out."""

    def __init__(self, data: TeacherCells, settings: LmTraining) -> None:
        self._data, self._settings = data, settings
        self._texts = np.flatnonzero(data.known.any(axis=1))
        if not len(self._texts):
            raise BadInput("the teacher was asked nothing about the train stories; give it cells to learn from")
        self._weights = class_weights(data) if settings.balance == "weights" else np.ones((2, len(data.questions)))
        self.n_steps = max(1, int(np.ceil(settings.epochs * len(self._texts) / settings.texts_per_batch)))

    @property
    def n_texts(self) -> int:
        """The number of texts that an epoch visits."""
        return len(self._texts)

    def step(self, number: int) -> Step:
        """Return the cells of step `number`, from 0; an epoch visits every text once, in an order of its own."""
        n = self._settings.texts_per_batch
        places = range(number * n, (number + 1) * n)
        texts = np.array([self._order(place // self.n_texts)[place % self.n_texts] for place in places])
        rng = np.random.default_rng([self._settings.seed, 1, number])
        asked = [self._questions(text, rng) for text in texts]
        labels = np.concatenate([self._data.labels[text, chosen] for text, chosen in zip(texts, asked, strict=True)])
        weights = self._weights[:, np.concatenate(asked)]
        yes, no = (weights * np.stack([labels, 1 - labels])).astype(np.float32)
        return Step(texts, asked, yes, no)

    @lru_cache(maxsize=2)  # noqa: B019 - a sampler lives as long as its training
    def _order(self, epoch: int) -> Ints:
        return np.random.default_rng([self._settings.seed, 0, epoch]).permutation(self._texts)

    def _questions(self, text: int, rng: np.random.Generator) -> Ints:
        """Numbers of the questions asked of a text, all known, ascending."""
        known = np.flatnonzero(self._data.known[text])
        n = min(self._settings.questions_per_text, len(known))
        if self._settings.balance != "sampling":
            return np.sort(rng.choice(known, n, replace=False))
        is_yes = self._data.labels[text, known] > 0.5
        yes, no = rng.permutation(known[is_yes]), rng.permutation(known[~is_yes])
        n_yes = max(min(len(yes), n // 2), n - len(no))
        return np.sort(np.concatenate([yes[:n_yes], no[: n - n_yes]]))


def class_weights(data: TeacherCells) -> NDArray[np.float64]:
    """Return (2, Q): weights of yes and no, n / (2 n_yes) and n / (2 n_no): both count half in each question.

    A weight is at most 10. Soft labels count as shares of a cell.
    """
    n = data.known.sum(axis=0)
    n_yes = np.where(data.known, data.labels, 0).sum(axis=0, dtype=np.float64)
    counts = np.maximum(np.stack([n_yes, n - n_yes]), 1e-9)
    return np.minimum(n / (2 * counts), _MOST_WEIGHT)


def validation_sample(data: TeacherCells, n_texts: int, seed: int) -> TeacherCells:
    """Return at most `n_texts` texts of `data` of which something is known, chosen by the seed."""
    candidates = np.flatnonzero(data.known.any(axis=1))
    chosen = np.random.default_rng(seed).permutation(candidates)[:n_texts]
    return data.rows(np.sort(chosen))
