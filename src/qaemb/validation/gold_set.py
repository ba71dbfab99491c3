"""A gold set: texts, questions, and what people said about some pairs of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.questions import Question


@dataclass(frozen=True, eq=False)
class GoldSet:
    """Texts, questions, and the labelled cells. No text and no question stands twice; most pairs have no label.

    `rows`, `columns` (n_cells,) are numbers of texts and questions; `labels` (n_cells,) is 1.0 for yes, 0.0 for no, or
    any finite number where `is_rating`. A pair that the source labels twice is two cells. `notes` are for the user.
    """

    name: str
    texts: tuple[str, ...]
    questions: tuple[Question, ...]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    labels: NDArray[np.float64]
    is_rating: bool = False
    notes: tuple[str, ...] = ()

    @property
    def n_cells(self) -> int:
        """The number of labelled cells."""
        return len(self.labels)

    def labelled(self) -> NDArray[np.bool_]:
        """Return (texts, questions): whether the pair has a label."""
        mask = np.zeros((len(self.texts), len(self.questions)), bool)
        mask[self.rows, self.columns] = True
        return mask

    def sample(self, n_texts: int, seed: int) -> GoldSet:
        """Return the gold set of `n_texts` texts drawn without replacement, with all their cells, in the old order.

        Texts are drawn, not cells, as the interval resamples texts, too. Questions that lose all cells are left out.
        With `n_texts` or fewer texts the set is returned as it is. The name says that it is a sample, and which.
        """
        if n_texts < 1:
            raise BadInput(f"a sample needs at least 1 text, not {n_texts}")
        if n_texts >= len(self.texts):
            return self
        texts = np.sort(np.random.default_rng(seed).choice(len(self.texts), n_texts, replace=False))
        cells = np.isin(self.rows, texts)
        questions = np.unique(self.columns[cells])
        return replace(
            self,
            name=f"{self.name}-sample{n_texts}-seed{seed}",
            texts=tuple(self.texts[number] for number in texts),
            questions=tuple(self.questions[number] for number in questions),
            rows=np.searchsorted(texts, self.rows[cells]),
            columns=np.searchsorted(questions, self.columns[cells]),
            labels=self.labels[cells],
        )


@dataclass
class GoldSetBuilder:
    """Collects labelled pairs one by one; texts and questions that come again are kept once."""

    name: str
    is_rating: bool = False
    notes: list[str] = field(default_factory=list)
    _texts: dict[str, int] = field(default_factory=dict)
    _questions: dict[str, int] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _cells: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, text: str, question: Question, label: float, place: str) -> None:
        """Add a labelled pair; BadInput names `place` (file and row) where the text or question is blank or broken."""
        for kind, value in (("text", text), ("question", question.text)):
            _check_text(value, f"{place}: the {kind}")
        row = self._texts.setdefault(text, len(self._texts))
        column = self._questions.setdefault(question.text, len(self._questions))
        if column == len(self._names):
            self._names.append(question.name)
        self._cells.append((row, column, label))

    def build(self, source: object) -> GoldSet:
        """Return the gold set; BadInput names `source` where nothing was added."""
        if not self._cells:
            raise BadInput(f"{source} holds no labelled text; give one with at least one row")
        rows, columns, labels = zip(*self._cells, strict=True)
        return GoldSet(
            name=self.name,
            texts=tuple(self._texts),
            questions=tuple(Question(name, text) for name, text in zip(self._names, self._questions, strict=True)),
            rows=np.array(rows, np.int64),
            columns=np.array(columns, np.int64),
            labels=np.array(labels, np.float64),
            is_rating=self.is_rating,
            notes=tuple(self.notes),
        )


def _check_text(value: str, what: str) -> None:
    if not value.strip():
        raise BadInput(f"{what} is empty; fill it in or remove the row")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"{what} is not valid Unicode (a lone surrogate); correct or remove the row") from error
