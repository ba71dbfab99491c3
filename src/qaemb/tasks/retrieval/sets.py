"""Retrieval sets: documents, queries, and people's grades of how relevant a document is to a query.

They are read in BEIR's layout, from the three files of Cranfield, and from a package (Lee's news documents).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.rows import csv_rows, json_rows, read_text
from qaemb.tasks.packaged import is_packaged, read_leads, read_lee, read_packaged


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
    def is_query(self) -> NDArray[np.bool_]:
        """Where a document is the query itself (queries, documents)."""
        return np.array(list(self.queries))[:, None] == np.array(list(self.documents))[None]


class _Builder:
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
        """Add a document. One without text is left out together with its judgements; a note counts both."""
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
        judged = {query for query, grades in self._grades.items() if any(grade > 0 for grade in grades.values())}
        queries = {name: text for name, text in self._queries.items() if name in judged}
        if not queries.keys() - self._train:
            raise BadInput(f"{source}: no test query has a relevant document, so nothing can be scored")
        return RetrievalSet(
            self._documents,
            queries,
            {query: self._grades[query] for query in queries},
            frozenset(self._train & queries.keys()),
            tuple(self._notes(len(self._queries) - len(queries))),
        )

    def _notes(self, n_unjudged: int) -> list[str]:
        notes = []
        if n_unjudged:
            notes.append(f"{n_unjudged} queries without a relevant document are left out")
        if self._empty:
            notes.append(f"{len(self._empty)} documents without text are left out, and {self._n_dropped} judgements")
        return notes


_BEIR = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
_CRANFIELD = ("cran.all.1400", "cran.qry", "cranqrel")
_SPLITS = ("train", "dev", "test")
_QRELS = ("query-id", "corpus-id", "score")

_LEE_RELEVANT = 2.0
"""Half of the scale 0 to 4 that people's similarities of 0.2 to 1 are put on: below it a document is not relevant."""


def read_retrieval(path: Path) -> RetrievalSet:
    """Return the retrieval set in a folder; BadInput names the file and line that is wrong."""
    if is_packaged(path):
        return read_packaged(path, {"lee": _lee, "lee_leads": _lee_leads})
    for names, read in ((_BEIR, _beir), (_CRANFIELD, _cranfield)):
        if (path / names[0]).is_file():
            missing = [name for name in names if not (path / name).is_file()]
            if missing:
                raise BadInput(f"{path / missing[0]} does not exist; the set needs {', '.join(names)}")
            return read(path)
    raise BadInput(f"{path} is no retrieval set; expected {', '.join(_BEIR)}, or {', '.join(_CRANFIELD)}")


def _beir(path: Path) -> RetrievalSet:
    builder = _Builder()
    for place, row in json_rows(path / "corpus.jsonl"):
        builder.add_document(_value(row, "_id", place), _document(row, place), place)
    for place, row in json_rows(path / "queries.jsonl"):
        builder.add_query(_value(row, "_id", place), _value(row, "text", place), place)
    builder.check_texts(str(path))
    for split in _SPLITS:
        file = path / "qrels" / f"{split}.tsv"
        for place, values in csv_rows(file, _QRELS, separator="\t") if file.exists() else ():
            query, document, score = (values[column] for column in _QRELS)
            builder.add_grade(query, document, _number(score, place), place, train=split != "test")
    return builder.build(str(path))


def _document(row: dict[str, object], place: str) -> str:
    """Return title and text as one, with a stop between them where the title has none."""
    title, text = str(row.get("title") or "").strip(), _value(row, "text", place).strip()
    stop = "" if not title or title.endswith((".", "?", "!")) else "."
    return f"{title}{stop} {text}".strip()


def _value(row: dict[str, object], key: str, place: str) -> str:
    if not isinstance(row.get(key), str):
        raise BadInput(f"{place}: `{key}` is missing or is no text")
    return str(row[key])


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"{place}: `{text}` is not a number") from error


def _cranfield(path: Path) -> RetrievalSet:
    """Return Cranfield: grades 4 (a complete answer) to 1 (of minimum interest), from its codes 1 to 4.

    `cranqrel` numbers queries by their place in cran.qry, whose own numbers have gaps. The collection's readme gives
    code 1 to the best references; -1, in no readme, and 5 (of no interest) count as not relevant.
    """
    builder = _Builder()
    for place, name, fields in _cranfield_entries(path / "cran.all.1400"):
        builder.add_document(name, f"{fields.get('T', '')} {_without_title(fields)}", place)
    for position, (place, _, fields) in enumerate(_cranfield_entries(path / "cran.qry"), start=1):
        builder.add_query(str(position), fields.get("W", ""), place)
    builder.check_texts(str(path))
    for number, line in enumerate(read_text(path / "cranqrel").splitlines(), start=1):
        place, values = f"{path / 'cranqrel'}, line {number}", line.split()
        if not values:
            continue
        if len(values) != len(_QRELS):
            raise BadInput(f"{place}: expected query, document and code, not `{line.strip()}`")
        code = _number(values[2], place)
        builder.add_grade(values[0], values[1], 5 - code if 1 <= code <= 4 else 0.0, place)
    return builder.build(str(path))


def _cranfield_entries(path: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield of each entry the place where it begins, its number, and its fields by letter, lines joined by spaces."""
    begin, name, field = 0, "", ""
    fields: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if entry := re.fullmatch(r"\.I\s+(\d+)\s*", line):
            if begin:
                yield f"{path}, line {begin}", name, fields
            begin, name, fields, field = number, entry[1], {}, ""
        elif letter := re.fullmatch(r"\.([A-Z])\s*", line):
            field = letter[1]
        elif begin and field:
            fields[field] = f"{fields.get(field, '')} {line.strip()}".strip()
        elif line.strip():
            raise BadInput(f"{path}, line {number}: expected `.I NUMBER` or a field such as `.W`, not `{line[:40]}`")
    if begin:
        yield f"{path}, line {begin}", name, fields


def _without_title(fields: dict[str, str]) -> str:
    """Return a document's abstract without the title that Cranfield repeats at its beginning."""
    return fields.get("W", "").removeprefix(fields.get("T", "")).strip()


def _lee(root: Path) -> RetrievalSet:
    """Return Lee's 50 news documents, each a query for the others.

    People's mean similarity becomes a grade on the scale 0 to 4 of its five steps; below its middle it is 0.
    """
    texts, similarity = read_lee(root)
    builder = _Builder()
    names = [f"d{number + 1}" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        builder.add_document(name, text, str(root))
        builder.add_query(name, text, str(root))
    for row, query in enumerate(names):
        for column, document in enumerate(names):
            grade = 5 * similarity[row, column] - 1
            if row != column and not math.isnan(grade):
                builder.add_grade(query, document, grade if grade >= _LEE_RELEVANT else 0.0, str(root))
    return builder.build(str(root))


def _lee_leads(root: Path) -> RetrievalSet:
    """Return news documents without their first sentence, and that sentence as the query for what it was cut from."""
    builder = _Builder()
    for number, (lead, rest) in enumerate(read_leads(root), start=1):
        builder.add_document(f"rest{number}", rest, str(root))
        builder.add_query(f"lead{number}", lead, str(root))
        builder.add_grade(f"lead{number}", f"rest{number}", 1.0, str(root))
    return builder.build(str(root))
