"""The tables of the stage `questions`: written after the checks, and a set read back by the stages that ask it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.errors import BadInput
from qaemb.files import atomic_folder, read_table, write_table
from qaemb.questions.bank import Question, QuestionSet, Rejection

_QUESTION_COLUMNS = (
    "question_id",
    "name",
    "text",
    "group",
    "provenance",
    "yes_example",
    "no_example",
    "property",
)
_REJECTION_COLUMNS = ("file", "name", "text", "reason")


def _question_table(questions: list[Question]) -> pd.DataFrame:
    """Return one row a question, in order, with _QUESTION_COLUMNS; `property` is None where there is none."""
    rows = [
        (q.question_id, q.name, q.text, q.group, q.provenance, q.yes_example, q.no_example, q.property_id)
        for q in questions
    ]
    return pd.DataFrame(rows, columns=list(_QUESTION_COLUMNS), dtype=object)


def _set_table(sets: list[QuestionSet]) -> pd.DataFrame:
    """Return one row for each set and question: `set`, `position` (int32, from 0), `question_id`, `name`."""
    rows = [
        (question_set.name, position, question.question_id, question.name)
        for question_set in sets
        for position, question in enumerate(question_set.questions)
    ]
    return pd.DataFrame(rows, columns=["set", "position", "question_id", "name"]).astype({"position": "int32"})


def write_tables(folder: Path, questions: list[Question], sets: list[QuestionSet], rejected: list[Rejection]) -> None:
    """Write questions.parquet, sets.parquet and rejected.csv as one folder: all of them or none."""
    rejections = [(r.file, r.name, r.text, r.reason) for r in rejected]
    with atomic_folder(folder) as temporary:
        write_table(temporary / "questions.parquet", _question_table(questions))
        write_table(temporary / "sets.parquet", _set_table(sets))
        pd.DataFrame(rejections, columns=list(_REJECTION_COLUMNS)).to_csv(temporary / "rejected.csv", index=False)


def load_set(tables_folder: Path, set_name: str) -> list[Question]:
    """Return a set's questions in order, read from the folder that the stage `questions` wrote.

    BadInput when the tables are missing or don't fit together, or when no set has the name; it lists those that do.
    """
    sets = read_table(tables_folder / "sets.parquet", ["set", "position", "question_id"])
    members = sets[sets["set"] == set_name].sort_values("position")
    if members.empty:
        names = ", ".join(dict.fromkeys(sets["set"]))
        raise BadInput(f"there is no question set `{set_name}`; known are {names}")
    table = read_table(tables_folder / "questions.parquet", list(_QUESTION_COLUMNS))
    by_id = {row["question_id"]: _question(row) for row in table.to_dict("records")}
    missing = [key for key in members["question_id"] if key not in by_id]
    if missing:
        raise BadInput(f"{tables_folder}: set `{set_name}` names question {missing[0]}, which questions.parquet lacks")
    return [by_id[key] for key in members["question_id"]]


def _question(row: dict[Hashable, Any]) -> Question:
    property_id = row["property"]
    texts = {key: str(row[key]) for key in _QUESTION_COLUMNS[1:-1]}
    return Question(**texts, property_id=property_id if isinstance(property_id, str) else None)
