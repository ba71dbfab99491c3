"""The room's tables: writing them after the checks, and reading a set back for the rooms above."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.errors import BadInput
from qaemb.files import atomic_folder, read_table, write_table
from qaemb.questions.bank import Question, QuestionSet, Rejection

QUESTION_COLUMNS = (
    "question_id",
    "name",
    "text",
    "group",
    "provenance",
    "yes_example",
    "no_example",
    "property",
)
REJECTION_COLUMNS = ("file", "name", "text", "reason")


def question_table(questions: list[Question]) -> pd.DataFrame:
    """Return one row a question, in order, with QUESTION_COLUMNS; `property` is None where there is none."""
    rows = [
        (q.question_id, q.name, q.text, q.group, q.provenance, q.yes_example, q.no_example, q.property_id)
        for q in questions
    ]
    return pd.DataFrame(rows, columns=list(QUESTION_COLUMNS), dtype=object)


def set_table(sets: list[QuestionSet]) -> pd.DataFrame:
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
        write_table(temporary / "questions.parquet", question_table(questions))
        write_table(temporary / "sets.parquet", set_table(sets))
        pd.DataFrame(rejections, columns=list(REJECTION_COLUMNS)).to_csv(temporary / "rejected.csv", index=False)


def load_set(tables_folder: Path, set_name: str) -> list[Question]:
    """Return a set's questions in order, read from the folder that the stage `questions` wrote.

    BadInput when the tables are missing or don't fit together, or when no set has the name; it lists those that do.
    """
    sets = read_table(tables_folder / "sets.parquet", ["set", "position", "question_id"])
    members = sets[sets["set"] == set_name].sort_values("position")
    if members.empty:
        known = ", ".join(dict.fromkeys(sets["set"]))
        raise BadInput(f"there is no question set `{set_name}`; known are {known}")
    table = read_table(tables_folder / "questions.parquet", list(QUESTION_COLUMNS))
    by_id = {row["question_id"]: _question(row) for row in table.to_dict("records")}
    missing = [key for key in members["question_id"] if key not in by_id]
    if missing:
        raise BadInput(f"{tables_folder}: set `{set_name}` names question {missing[0]}, which questions.parquet lacks")
    return [by_id[key] for key in members["question_id"]]


def _question(row: dict[Hashable, Any]) -> Question:
    property_id = row["property"]
    texts = {key: str(row[key]) for key in QUESTION_COLUMNS[1:-1]}
    return Question(**texts, property_id=property_id if isinstance(property_id, str) else None)
