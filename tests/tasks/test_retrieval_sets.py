"""Retrieval sets as they are read: BEIR's layout, Cranfield's files, Lee's corpus; errors name file and line."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.tasks.retrieval.sets import read_retrieval

ROOT = Path(__file__).parents[2]
HEADER = "query-id\tcorpus-id\tscore\n"


def write_beir(folder: Path, corpus=None, queries=None, **qrels: str) -> Path:
    corpus = corpus or [{"_id": "a", "title": "Soup", "text": "Boil it."}, {"_id": "b", "title": "Why?", "text": "So."}]
    queries = queries or [{"_id": "q1", "text": "how to cook"}, {"_id": "q2", "text": "reasons"}]
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    for split, text in (qrels or {"test": "q1\ta\t2\nq2\tb\t1\n"}).items():
        (folder / "qrels" / f"{split}.tsv").write_text(HEADER + text)
    return folder


def test_beirs_layout_with_its_split(tmp_path):
    data = read_retrieval(write_beir(tmp_path, train="q1\ta\t2\nq1\tb\t-1\n", test="q2\tb\t1\n"))
    assert data.documents == {"a": "Soup. Boil it.", "b": "Why? So."}
    assert data.queries == {"q1": "how to cook", "q2": "reasons"}
    assert data.train == {"q1"}
    assert data.grade_matrix.tolist() == [[2, 0], [0, 1]]
    assert data.texts == ["Soup. Boil it.", "Why? So.", "how to cook", "reasons"]
    assert not data.is_query.any()


def test_what_is_left_out_is_noted(tmp_path):
    corpus = [{"_id": "a", "text": "A."}, {"_id": "b", "title": " ", "text": ""}]
    queries = [{"_id": "q1", "text": "x"}, {"_id": "q2", "text": "y"}, {"_id": "q3", "text": "z"}]
    data = read_retrieval(write_beir(tmp_path, corpus, queries, test="q1\ta\t1\nq1\tb\t1\nq2\ta\t0\n"))
    assert list(data.queries) == ["q1"]
    assert data.notes == (
        "2 queries without a relevant document are left out",
        "1 documents without text are left out, and 1 judgements",
    )


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "corpus.jsonl",
            '{"_id": "a", "text": "A."}\n{"_id": "a", "text": "B."}\n',
            r"corpus.jsonl, line 2: .*`a` is there",
        ),
        ("corpus.jsonl", '{"_id": "a"}\n', r"corpus.jsonl, line 1: `text` is missing"),
        ("corpus.jsonl", '{"_id": 7, "text": "A."}\n', r"corpus.jsonl, line 1: `_id` is missing or is no text"),
        ("corpus.jsonl", "{\n", r"corpus.jsonl, line 1: not valid JSON"),
        ("corpus.jsonl", "", "there are no documents"),
        ("queries.jsonl", "", "there are no queries"),
        ("queries.jsonl", '{"_id": "q1", "text": " "}\n', r"queries.jsonl, line 1: query `q1` has no text"),
        ("queries.jsonl", '{"_id": "q1", "text": "x"}\n' * 2, r"queries.jsonl, line 2: query `q1` is there twice"),
        ("qrels/test.tsv", HEADER + "q1\ta\t1\nq9\ta\t1\n", r"test.tsv, line 3: judges query `q9`"),
        ("qrels/test.tsv", HEADER + "q1\tz\t1\n", r"test.tsv, line 2: judges document `z`"),
        ("qrels/test.tsv", HEADER + "q1\ta\tnan\n", r"test.tsv, line 2: the grade .* is not a number"),
        ("qrels/test.tsv", HEADER + "q1\ta\tgood\n", r"test.tsv, line 2: `good` is not a number"),
        ("qrels/test.tsv", HEADER + "q1\ta\t1\nq1\ta\t2\n", r"test.tsv, line 3: .* have another grade further up"),
        ("qrels/test.tsv", HEADER + "q1\ta\t0\n", "no test query has a relevant document"),
        ("qrels/test.tsv", HEADER + "q1\ta\n", r"test.tsv, line 2: the row has not as many values"),
        ("qrels/test.tsv", "query,document\n", "there is no column `query-id`"),
        ("qrels/test.tsv", "", "there is no column `query-id`"),
        (
            "qrels/train.tsv",
            HEADER + "q1\ta\t1\n",
            r"test.tsv, line 2: query `q1` is both for learning and for testing",
        ),
    ],
)
def test_wrong_files_are_named_with_the_line(tmp_path, file, text, message):
    (write_beir(tmp_path) / file).write_text(text)
    with pytest.raises(BadInput, match=message):
        read_retrieval(tmp_path)


def test_a_folder_that_is_no_set_says_what_one_is(tmp_path):
    with pytest.raises(BadInput, match=r"no retrieval set; expected corpus.jsonl, .*, or cran.all.1400"):
        read_retrieval(tmp_path)
    write_beir(tmp_path)
    (tmp_path / "qrels" / "test.tsv").unlink()
    with pytest.raises(BadInput, match=r"test.tsv does not exist; the set needs"):
        read_retrieval(tmp_path)


CRANFIELD = {
    "cran.all.1400": ".I 1\n.T\nwings in\na slipstream .\n.A\nbrown\n.B\nj. ae. 1958\n.W\nwings in a slipstream .\n"
    "an experimental\nstudy .\n.I 2\n.T\n.A\n.B\n.W\n.I 3\n.T\nshear flow .\n.W\nshear flow . past a plate .\n",
    "cran.qry": ".I 001\n.W\nwhat of\nwings ?\n.I 004\n.W\nwhat of shear ?\n",
    "cranqrel": "1 1 1\n1 3 4\n2 3 -1 \n2 1 3\n2 2 2\n",
}


def write_cranfield(folder: Path, **changes: str) -> Path:
    for name, text in (CRANFIELD | changes).items():
        (folder / name).write_text(text)
    return folder


def test_cranfield_numbers_queries_by_place_and_its_best_code_is_one(tmp_path):
    data = read_retrieval(write_cranfield(tmp_path))
    assert data.documents == {
        "1": "wings in a slipstream . an experimental study .",
        "3": "shear flow . past a plate .",
    }
    assert data.queries == {"1": "what of wings ?", "2": "what of shear ?"}  # .I 004 is the second
    assert data.grades == {"1": {"1": 4, "3": 1}, "2": {"3": 0, "1": 2}}
    assert data.notes == ("1 documents without text are left out, and 1 judgements",)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("cran.all.1400", "wings\n", r"cran.all.1400, line 1: expected `.I NUMBER`"),
        ("cran.all.1400", ".I 1\n.W\nx\n.I 1\n.W\ny\n", r"cran.all.1400, line 4: document `1` is there twice"),
        ("cran.qry", ".I 1\n.W\n.I 2\n.W\nx\n", r"cran.qry, line 1: query `1` has no text"),
        ("cranqrel", "1 1\n", r"cranqrel, line 1: expected query, document and code"),
        ("cranqrel", "1 1 1\n365 1 2\n", r"cranqrel, line 2: judges query `365`"),
        ("cranqrel", "1 1 one\n", r"cranqrel, line 1: `one` is not a number"),
        ("cranqrel", "", "no test query has a relevant document"),
    ],
)
def test_wrong_cranfield_files_are_named_with_the_line(tmp_path, file, text, message):
    with pytest.raises(BadInput, match=message):
        read_retrieval(write_cranfield(tmp_path, **{file: text}))


def test_the_projects_own_set_is_whole():
    data = read_retrieval(ROOT / "data" / "tasks" / "household")
    assert (len(data.documents), len(data.queries), data.notes) == (122, 100, ())
    assert set(np.unique(data.grade_matrix)) == {0, 1, 2}
    assert (data.grade_matrix.max(axis=1) == 2).all()
    assert len(data.texts) == 222


@pytest.fixture
def gensim() -> None:
    try:
        if version("gensim") != "4.4.0":
            pytest.skip("gensim is installed in another version")
    except PackageNotFoundError:
        pytest.skip("gensim is not installed")


@pytest.mark.usefixtures("gensim")
def test_lees_documents_are_queries_for_each_other_and_never_for_themselves():
    data = read_retrieval(ROOT / "data" / "tasks" / "lee")
    assert len(data.documents) == 50
    assert data.is_query.sum() == len(data.queries) == 39
    grades = data.grade_matrix
    assert not grades[data.is_query].any()
    assert grades[grades > 0].min() >= 2
    assert grades.max() <= 4
    both = [name for name in data.queries if name in data.documents]
    places = [list(data.documents).index(name) for name in both]
    assert np.allclose(grades[:, places], grades[:, places].T)


@pytest.mark.usefixtures("gensim")
def test_leads_are_queries_for_what_they_were_cut_from():
    data = read_retrieval(ROOT / "data" / "tasks" / "lee_leads")
    assert len(data.documents) == len(data.queries) == 300
    assert (data.grade_matrix == np.eye(300)).all()
    assert all(text[0].isupper() or not text[0].isalpha() for text in data.documents.values())
    assert np.mean([text.endswith((".", '"', "?", "!")) for text in data.queries.values()]) > 0.95
