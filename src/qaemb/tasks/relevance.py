"""A retrieval set: documents, queries, and how relevant people found which document to which query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput


@dataclass(frozen=True)
class RetrievalSet:
    """Texts by id, and grades: 0 or nothing for a document that is not relevant, more for a better one.

    `train`: the queries that the set itself gives for learning; none: it has no split. A document with the id of a
    query is that query's own text: it is never a result.
    """

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[str, float]]
    train: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=())

    @property
    def texts(self) -> list[str]:
        """All texts, each once."""
        return list(dict.fromkeys([*self.documents.values(), *self.queries.values()]))

    @property
    def grade_matrix(self) -> NDArray[np.float64]:
        """Grades (queries, documents)."""
        column = {name: number for number, name in enumerate(self.documents)}
        matrix = np.zeros((len(self.queries), len(self.documents)))
        for row, query in enumerate(self.queries):
            for document, grade in self.grades[query].items():
                matrix[row, column[document]] = grade
        return matrix

    @property
    def own(self) -> NDArray[np.bool_]:
        """Where a document is the query itself (queries, documents)."""
        return np.array(list(self.queries))[:, None] == np.array(list(self.documents))[None]


class RetrievalBuilder:
    """Collects a retrieval set row by row; `place` is the file and line that an error names."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}
        self._queries: dict[str, str] = {}
        self._grades: dict[str, dict[str, float]] = {}
        self._empty: set[str] = set()
        self._train: set[str] = set()
        self._test: set[str] = set()
        self._n_dropped = 0

    def add_document(self, name: str, text: str, place: str) -> None:
        """Add a document; one without text is left out, with all that is said of it, and counted in a note."""
        if name in self._documents or name in self._empty:
            raise BadInput(f"{place}: document `{name}` is there twice; give each an id of its own")
        if text.strip():
            self._documents[name] = text.strip()
        else:
            self._empty.add(name)

    def add_query(self, name: str, text: str, place: str) -> None:
        """Add a query."""
        if name in self._queries:
            raise BadInput(f"{place}: query `{name}` is there twice; give each an id of its own")
        if not text.strip():
            raise BadInput(f"{place}: query `{name}` has no text; write it or take the line out")
        self._queries[name] = text.strip()

    def add_grade(self, query: str, document: str, grade: float, place: str, train: bool = False) -> None:
        """Add a judgement; grades below 0 count as 0, as in trec_eval."""
        if query not in self._queries:
            raise BadInput(f"{place}: judges query `{query}`, which is not among the queries")
        if document not in self._documents and document not in self._empty:
            raise BadInput(f"{place}: judges document `{document}`, which is not among the documents")
        if not np.isfinite(grade):
            raise BadInput(f"{place}: the grade of query `{query}` and document `{document}` is not a number")
        (self._train if train else self._test).add(query)
        if query in self._train and query in self._test:
            raise BadInput(f"{place}: query `{query}` is both for learning and for testing; keep it in one of the two")
        if document in self._empty:
            self._n_dropped += 1
        elif self._grades.setdefault(query, {}).setdefault(document, max(grade, 0.0)) != max(grade, 0.0):
            raise BadInput(f"{place}: query `{query}` and document `{document}` have another grade further up")

    def check_texts(self, source: str) -> None:
        """Refuse a set without documents or queries: to be called before what judges them is read."""
        for what, texts in (("documents", self._documents), ("queries", self._queries)):
            if not texts:
                raise BadInput(f"{source}: there are no {what}; is the file empty?")

    def build(self, source: str) -> RetrievalSet:
        """Return the set; queries without a relevant document are left out, with a note."""
        judged = {query for query, own in self._grades.items() if any(grade > 0 for grade in own.values())}
        kept = {name: text for name, text in self._queries.items() if name in judged}
        if not kept.keys() - self._train:
            raise BadInput(f"{source}: no test query has a relevant document, so nothing can be scored")
        return RetrievalSet(
            self._documents,
            kept,
            {query: self._grades[query] for query in kept},
            frozenset(self._train & kept.keys()),
            tuple(self._notes(len(self._queries) - len(kept))),
        )

    def _notes(self, n_unjudged: int) -> list[str]:
        notes = []
        if n_unjudged:
            notes.append(f"{n_unjudged} queries without a relevant document are left out")
        if self._empty:
            notes.append(f"{len(self._empty)} documents without text are left out, and {self._n_dropped} judgements")
        return notes
