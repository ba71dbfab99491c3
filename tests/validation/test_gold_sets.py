"""Gold sets: every format is read cell by cell, and what is wrong is named by file and row."""

import json

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput, BadParameter
from qaemb.files import write_table
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.validation.gold_readers import READERS, GoldSource, _as_question, _question_of, _read_questions, read_gold
from qaemb.validation.gold_set import GoldSetBuilder


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a path of the test's folder as gold."""

    def function(path, kind="auto", hand_table=None):
        source = GoldSource(tmp_path / path, hand_table, tmp_path / "dataset", tmp_path / "questions")
        return read_gold("miniature" if path == "miniature" else str(path), kind, source)

    return function


def cells(gold):
    return [
        (gold.texts[row], gold.questions[column].text, label)
        for row, column, label in zip(gold.rows, gold.columns, gold.labels, strict=True)
    ]


def write_d3(folder, tasks, rows):
    folder.mkdir(exist_ok=True)
    (folder / "task_defs.json").write_text(json.dumps(tasks))
    for task, content in rows.items():
        (folder / f"{task}.csv").write_text("input,label\n" + content)


def test_miniature_asks_every_sentence_for_every_property(tmp_path, read):
    sentences = pd.DataFrame({"story": "s", "index": [0, 1, 2], "text": ["We ate.", "We ran.", "We ate."]})
    gold = pd.DataFrame({"story": "s", "index": [2, 0, 1], "food": [True, True, False], "motion": [False, False, True]})
    write_table(tmp_path / "dataset" / "sentences.parquet", sentences)
    write_table(tmp_path / "dataset" / "gold.parquet", gold)
    bank = [Question("eat", "Is food named?", property_id="food"), Question("x", "Is it odd?", property_id="odd")]
    write_tables(tmp_path / "questions", bank, [QuestionSet("gold", tuple(bank))], [])
    found = read("miniature")
    assert cells(found) == [("We ate.", "Is food named?", 1)] * 2 + [("We ran.", "Is food named?", 0)]
    assert [question.name for question in found.questions] == ["eat"]
    write_table(tmp_path / "dataset" / "sentences.parquet", sentences.iloc[:2])
    with pytest.raises(BadInput, match="story s, sentence 2 is not in sentences.parquet"):
        read("miniature")
    (tmp_path / "dataset" / "gold.parquet").unlink()
    with pytest.raises(BadInput, match="has no gold; `qaemb use miniature`"):
        read("miniature")


def test_d3_asks_each_text_its_own_task_only(tmp_path, read):
    tasks = {"d3_0": "contains irony", "d3_1": "is about boats", "d3_9": "is lost"}
    write_d3(tmp_path / "d3", tasks, {"d3_0": '"Oh, ""great"",\nrain.",1\nIt rains.,0\n', "d3_1": "It rains.,0\n"})
    gold = read("d3")
    assert cells(gold) == [
        ('Oh, "great",\nrain.', "Does the text contain irony?", 1),
        ("It rains.", "Does the text contain irony?", 0),
        ("It rains.", "Is the text about boats?", 0),
    ]
    assert gold.labelled().tolist() == [[True, False], [True, True]]
    assert gold.notes == ("left out, as there is no file: d3_9",)
    assert [question.name for question in gold.questions] == ["d3_0", "d3_1"]


def test_a_unicode_line_separator_does_not_end_a_row(tmp_path, read):
    write_d3(tmp_path / "d3", {"a": "is odd"}, {"a": "one\u2028two\x0bthree,1\n"})
    assert read("d3").texts == ("one\u2028two\x0bthree",)


@pytest.mark.parametrize(
    ("phrase", "question"),
    [
        ("is subjective", "Is the text subjective?"),
        ("asks for a number", "Does the text ask for a number?"),
        ("Believes that the earth is round.", "Does the text believe that the earth is round?"),
        ("has a date", "Does the text have a date?"),
        ("related to gardens", None),
        ("insult gardeners", None),
        ("sports news", None),
        ("is", None),
        ("", None),
    ],
)
def test_the_rule_for_phrases(phrase, question):
    assert _question_of(phrase) == question


def test_a_phrase_without_a_rule_is_given_in_the_hand_table(tmp_path, read):
    write_d3(tmp_path / "d3", {"t": "related to gardens"}, {"t": "A rose.,1\n"})
    with pytest.raises(BadInput, match=r"task t: no rule turns the phrase `related to gardens`.* YAML"):
        read("d3")
    table = tmp_path / "hand.yaml"
    table.write_text('"related to gardens": Is the text about gardens?\n')
    assert read("d3", hand_table=table).questions[0].text == "Is the text about gardens?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "expected lines"),
        ("a: no mark", "'a': expected a question that ends in"),
        ("1: Is it?", "1: expected a question"),
    ],
)
def test_a_wrong_hand_table_is_named(tmp_path, content, message):
    path = tmp_path / "hand.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=f"hand.yaml.*{message}"):
        _read_questions(path)


def test_boolq_questions_become_sentences_and_keep_their_passage(tmp_path, read):
    lines = [
        {"question": "is the sea salty", "passage": "Sea water holds salt.", "answer": True, "title": "Sea"},
        {"question": "do fish fly?", "passage": "Most fish swim.", "label": 0},
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    gold = read("b.jsonl")
    assert cells(gold) == [
        ("Sea water holds salt.", "Is the sea salty?", 1),
        ("Most fish swim.", "Do fish fly?", 0),
    ]
    assert gold.labelled().sum() == 2
    assert _as_question("  ") == ""


def test_ratings_are_kept_as_numbers(tmp_path, read):
    (tmp_path / "my ratings.csv").write_text("text,question,rating\nHi.,Is it warm?,-2.5\nHo.,Is it warm?,3e1\n")
    gold = read("my ratings.csv")
    assert (gold.is_rating, gold.labels.tolist(), gold.name) == (True, [-2.5, 30.0], "my_ratings")
    assert len(gold.questions) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "text,question,rating\nHi.,Is it?,warm\n", r"r\.csv, line 2: rating `warm` is not a finite"),
        ("r.csv", "text,question,rating\nHi.,Is it?,nan\n", "line 2: rating `nan`"),
        ("r.csv", "text,question,rating\nHi.,Is it?,1\n ,Is it?,1\n", "line 3: the text is empty"),
        ("r.csv", "text,question,rating\nHi.,,1\n", "line 2: the question is empty"),
        ("r.csv", "text,question,rating\nHi, you,Is it?,1\n", "line 2: the row has not as many values"),
        ("r.csv", "text,question,rating\nHi\n", "line 2: the row has not as many values"),
        ("r.csv", 'text,question,rating\n"Hi,Is it?,1\n', "line 2: not valid CSV"),
        ("r.csv", "text,rating\nHi.,1\n", "no column `question`"),
        ("r.csv", "text,question,rating\n", "holds no labelled text"),
        ("r.csv", b"\xff\xfe", "is not UTF-8"),
        ("b.jsonl", "{", "b.jsonl, line 1: not valid JSON"),
        ("b.jsonl", "[1]", "line 1: expected an object"),
        ("b.jsonl", '{"question": "is it", "answer": 1}', "line 1: `passage` is missing"),
        ("b.jsonl", '{"question": "is it", "passage": "It is."}', "line 1: answer `None` is neither"),
        (
            "b.jsonl",
            '{"question": "is it", "passage": "\\ud800", "answer": 1}',
            "line 1: the text is not valid Unicode",
        ),
        ("b.jsonl", '{"question": "?", "passage": "It is.", "answer": 1}', "line 1: the question is empty"),
        ("x.txt", "a", "the format can't be told"),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path, read, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=message):
        read(name)


def test_bad_d3_folders_are_named(tmp_path, read):
    write_d3(tmp_path / "d3", {"t": "is odd"}, {"t": "A rose.,2\n"})
    with pytest.raises(BadInput, match=r"t\.csv, line 2: label `2` is neither"):
        read("d3")
    write_d3(tmp_path / "d3", {"t": "is odd", "u": "is odd"}, {"t": "A rose.,1\n", "u": "A rose.,0\n"})
    with pytest.raises(BadInput, match="tasks t and u both ask"):
        read("d3")
    write_d3(tmp_path / "d3", ["is odd"], {})
    with pytest.raises(BadInput, match="expected an object"):
        read("d3")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="format can't be told"):
        read("none")
    with pytest.raises(BadInput, match="none is no D3 folder; it needs task_defs.json"):
        read("none", kind="d3")
    with pytest.raises(BadInput, match="none can't be read in the format miniature"):
        read("none", kind="miniature")
    with pytest.raises(BadInput, match="miniature can't be read in the format d3"):
        read("miniature", kind="d3")
    with pytest.raises(BadInput, match="none can't be read: Is a directory"):
        read("none", kind="boolq")
    with pytest.raises(BadInput, match="does not exist"):
        read("nowhere")
    with pytest.raises(BadParameter, match=f"no gold format `other`; there are: {', '.join(READERS)}"):
        read("none", kind="other")
    with pytest.raises(BadInput, match="--questions is for the format d3"):
        read("none", kind="ratings", hand_table=tmp_path / "hand.yaml")


def test_a_sample_keeps_all_cells_of_its_texts():
    builder = GoldSetBuilder("g")
    for number in range(20):
        for question in range(1 + number % 3):
            builder.add(f"text {number}", Question(f"q{question}", f"Is it {question}?"), number % 2, "here")
    gold = builder.build("here")
    part = gold.sample(6, seed=1)
    assert (len(part.texts), part.name) == (6, "g-sample6-seed1")
    assert cells(part) == [cell for cell in cells(gold) if cell[0] in part.texts]
    assert set(part.columns) == set(range(len(part.questions)))
    assert gold.sample(6, seed=1).texts == part.texts != gold.sample(6, seed=2).texts
    assert gold.sample(20, seed=1) is gold
    with pytest.raises(BadInput, match="at least 1 text"):
        gold.sample(0, seed=1)
    assert np.array_equal(gold.labelled().sum(1), 1 + np.arange(20) % 3)
