from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.questions import Question, QuestionSet, Rejection, load_set, write_tables

COLOR = Question("color", "Does the text mention a color?", "senses", "mine", "It was red.", "It was, new.", "color")
SOUND = Question("sound", "Does the text describe a “sound”?", "senses", "mine", "A bang.", "A man.\nAlone.")
SETS = [QuestionSet("some", (SOUND, COLOR)), QuestionSet("whole", (COLOR, SOUND)), QuestionSet("one", (SOUND,))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "questions"
    write_tables(path, [COLOR, SOUND], SETS, [Rejection("a.yaml", "x", "Is, it?", 'has "3" words')])
    return path


def test_tables_are_those_of_the_architecture(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["questions.parquet", "rejected.csv", "sets.parquet"]
    table = pd.read_parquet(folder / "questions.parquet")
    assert " ".join(table) == "question_id name text group provenance yes_example no_example property"
    assert list(table["property"]) == ["color", None]
    assert list(table["question_id"]) == [COLOR.question_id, SOUND.question_id]
    sets = pd.read_parquet(folder / "sets.parquet")
    assert list(sets) == ["set", "position", "question_id", "name"]
    assert sets["position"].dtype == "int32"
    assert sets["position"].tolist() == [0, 1, 0, 1, 0]
    assert sets["name"].tolist() == ["sound", "color", "color", "sound", "sound"]
    rejected = pd.read_csv(folder / "rejected.csv")
    assert rejected.to_dict("records") == [
        {"file": "a.yaml", "name": "x", "text": "Is, it?", "reason": 'has "3" words'}
    ]


def test_load_set_gives_back_the_same_questions_in_order(folder: Path) -> None:
    for question_set in SETS:
        assert load_set(folder, question_set.name) == list(question_set.questions)


def test_order_is_the_positions_not_the_rows(folder: Path) -> None:
    sets = pd.read_parquet(folder / "sets.parquet")
    sets.iloc[::-1].to_parquet(folder / "sets.parquet")
    assert load_set(folder, "some") == [SOUND, COLOR]


def test_no_property_at_all(tmp_path: Path) -> None:
    write_tables(tmp_path / "q", [SOUND], [QuestionSet("one", (SOUND,))], [])
    assert load_set(tmp_path / "q", "one") == [SOUND]
    assert (tmp_path / "q" / "rejected.csv").read_text().strip() == "file,name,text,reason"


def test_unknown_set_names_the_known(folder: Path) -> None:
    with pytest.raises(BadInput, match="no question set `cor`; known are some, whole, one"):
        load_set(folder, "cor")


def test_missing_and_unfitting_tables(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"sets.parquet does not exist; run `dvc repro`"):
        load_set(tmp_path / "absent", "some")
    table = pd.read_parquet(folder / "questions.parquet")
    table.iloc[:1].to_parquet(folder / "questions.parquet")
    with pytest.raises(BadInput, match=f"set `some` names question {SOUND.question_id}, which questions.parquet lacks"):
        load_set(folder, "some")
