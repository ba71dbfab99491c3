"""What a training step works on: which cells, and their prompts packed into few sequences of tokens. No tensors.

Which texts a step takes and what it asks of each is a function of the seed and the step alone. Nothing is kept between
steps, so that a training that was killed goes on as if it had not been.

The prompts of a text, one for each question, begin alike: they are a tree (answers/packing.py) whose trunk is the text.
A token sees its ancestors alone and stands at the place that it has in its own prompt, so that every prompt is computed
as if it stood there by itself, as engine `shared` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.packing import Pack, pack
from qaemb.distill.cells import TeacherCells
from qaemb.errors import BadInput
from qaemb.settings import LmSettings

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_MOST_WEIGHT = 10.0  # of a cell: a question with yes once in a thousand would else be all that a step learns from


@dataclass(frozen=True)
class _Step:
    """The cells of one step: numbers of its `texts`, of the `questions` for each, and what each cell pulls to.

    `yes`, `no` float32 (cells,): weight times label, and weight times (1 - label), text by text.
    """

    texts: Ints
    questions: list[Ints]
    yes: Floats
    no: Floats


class Sampler:
    """The steps of a training on `data`; texts of which nothing is known are left out."""

    def __init__(self, data: TeacherCells, settings: LmSettings) -> None:
        self._data, self._settings = data, settings
        self._texts = np.flatnonzero(data.known.any(axis=1))
        if not len(self._texts):
            raise BadInput("the teacher was asked nothing about the train stories; give it cells to learn from")
        self._weights = _class_weights(data) if settings.balance == "weights" else np.ones((2, len(data.questions)))
        self.n_steps = max(1, int(np.ceil(settings.epochs * len(self._texts) / settings.texts_per_batch)))

    @property
    def n_texts(self) -> int:
        """The number of texts that an epoch visits."""
        return len(self._texts)

    def step(self, number: int) -> _Step:
        """Return the cells of step `number`, from 0; an epoch visits every text once, in an order of its own."""
        n = self._settings.texts_per_batch
        places = range(number * n, (number + 1) * n)
        texts = np.array([self._order(place // self.n_texts)[place % self.n_texts] for place in places])
        rng = np.random.default_rng([self._settings.seed, 1, number])
        questions = [self._questions(text, rng) for text in texts]
        labels = np.concatenate(
            [self._data.labels[text, columns] for text, columns in zip(texts, questions, strict=True)]
        )
        weights = self._weights[:, np.concatenate(questions)]
        yes, no = (weights * np.stack([labels, 1 - labels])).astype(np.float32)
        return _Step(texts, questions, yes, no)

    @lru_cache(maxsize=2)  # noqa: B019 - a sampler lives as long as its training
    def _order(self, epoch: int) -> Ints:
        return np.random.default_rng([self._settings.seed, 0, epoch]).permutation(self._texts)

    def _questions(self, text: int, rng: np.random.Generator) -> Ints:
        """Return the numbers of the questions that a text gets, all with known cells, ascending."""
        known = np.flatnonzero(self._data.known[text])
        n = min(self._settings.questions_per_text, len(known))
        if self._settings.balance != "sampling":
            return np.sort(rng.choice(known, n, replace=False))
        is_yes = self._data.labels[text, known] > 0.5
        yes, no = rng.permutation(known[is_yes]), rng.permutation(known[~is_yes])
        n_yes = max(min(len(yes), n // 2), n - len(no))
        return np.sort(np.concatenate([yes[:n_yes], no[: n - n_yes]]))


def _class_weights(data: TeacherCells) -> NDArray[np.float64]:
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
    sample = np.random.default_rng(seed).permutation(candidates)[:n_texts]
    return data.rows(np.sort(sample))


@dataclass(frozen=True)
class Packed:
    """A batch of B sequences of at most n tokens, padded on the right, with C cells in all.

    `ids`, `places` int64 (B, n); `visible` bool (B, n, n): whether the token of a row sees the token of a column
    (padding sees itself alone); `rows`, `ends` int64 (C,): sequence and token at which each cell's prompt ends;
    `n_tokens`: tokens without padding.
    """

    ids: Ints
    places: Ints
    visible: NDArray[np.bool_]
    rows: Ints
    ends: Ints
    n_tokens: int


def pack_text(shared: Sequence[int], endings: Sequence[Sequence[int]], max_nodes: int) -> list[Pack]:
    """Return trees of the prompts `shared + ending`, each of at most `max_nodes` tokens besides `shared`."""
    prompts = [[*shared, *ending] for ending in endings]
    return pack(prompts, len(shared) + max_nodes)


def batch(packs: Sequence[Pack]) -> Packed:
    """Return trees side by side as one batch; cells come tree by tree, in the order of the members' numbers."""
    longest = max(len(tree.ids) for tree in packs)
    ids, places = np.zeros((2, len(packs), longest), np.int64)
    visible = np.repeat(np.eye(longest, dtype=bool)[None], len(packs), axis=0)
    rows: list[int] = []
    ends: list[int] = []
    for row, tree in enumerate(packs):
        n = len(tree.ids)
        ids[row, :n], places[row, :n], visible[row, :n, :n] = tree.ids, tree.places(), tree.visible()
        rows += [row] * len(tree.members)
        ends += [end for _, end in sorted(zip(tree.members, tree.ends, strict=True))]
    n_tokens = sum(len(tree.ids) for tree in packs)
    return Packed(ids, places, visible, np.array(rows, np.int64), np.array(ends, np.int64), n_tokens)
