"""Pairs with ratings as they are read from files and packages."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.tasks.packaged import read_lee
from qaemb.tasks.similarity import read_pairs

TASKS = Path(__file__).parents[2] / "data" / "tasks"


def test_csv_and_json_lines_say_the_same(tmp_path):
    (tmp_path / "p.csv").write_text('first,second,score,note\n"a, b",c,1.5,x\nd,a,2,\nc,d,0,\n')
    rows = ('{"first": "a, b", "second": "c", "score": 1.5}', '{"first": "d", "second": "a", "score": "2"}')
    (tmp_path / "p.jsonl").write_text("\n".join([*rows, "", '{"first": "c", "second": "d", "score": 0}']))
    for name in ("p.csv", "p.jsonl"):
        pairs = read_pairs(tmp_path / name)
        assert pairs.score.tolist() == [1.5, 2, 0]
        assert pairs.texts == ["a, b", "d", "c", "a"]
        assert [own.tolist() for own in pairs.numbers] == [[0, 1, 2], [2, 3, 1]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "first,second,score\na,b,1\na,c,nan\n", r"p.csv, line 3: score `nan` is not a finite number"),
        ("p.csv", "first,second,score\na,b,very\n", r"p.csv, line 2: score `very` is not"),
        ("p.csv", "first,second,score\na, ,1\n", r"p.csv, line 2: `second` has no text"),
        ("p.csv", "first,second\na,b\n", "no column `score`"),
        ("p.csv", "first,second,score\na,b,1\nc,d,1\ne,f,1\n", "3 pairs, 1 different scores"),
        ("p.csv", "first,second,score\n", "0 pairs"),
        ("p.csv", "", "no column `first`"),
        ("p.jsonl", '{"first": "a", "score": 1}\n', r"p.jsonl, line 1: `second` has no text"),
        ("p.txt", "a b 1", "is no set of pairs"),
    ],
)
def test_wrong_files_are_named_with_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message):
        read_pairs(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"absent.csv can't be read"):
        read_pairs(tmp_path / "absent.csv")


def test_a_package_or_format_that_is_not_there_says_what_to_do(tmp_path):
    (tmp_path / "source.yaml").write_text("package: no-such-set\nversion: '1'\nformat: lee\n")
    with pytest.raises(BadInput, match=r"no-such-set with the data set is not installed; run `pip install"):
        read_pairs(tmp_path)
    (tmp_path / "source.yaml").write_text("package: numpy\nformat: lee\n")
    with pytest.raises(BadInput, match=r"source.yaml: expected the keys format, package, version"):
        read_pairs(tmp_path)
    (tmp_path / "source.yaml").write_text(f"package: numpy\nversion: {np.__version__}\nformat: sick\n")
    with pytest.raises(BadInput, match=r"reads the formats lee, simlex999, wordsim353, not sick"):
        read_pairs(tmp_path)


def test_lees_files_are_checked(tmp_path):
    folder = tmp_path / "test" / "test_data"
    folder.mkdir(parents=True)
    (folder / "lee.cor").write_bytes(b"One \xa35 note.\nTwo.\nThree.")
    (folder / "similarities0-1.txt").write_text("1\t0.2\t0.4\n0\t1\t0.6\n0\t0\t1\n")
    texts, similarity = read_lee(tmp_path)
    assert texts == ["One £5 note.", "Two.", "Three."]
    assert similarity.tolist() == [[1, 0.2, 0.4], [0.2, 1, 0.6], [0.4, 0.6, 1]]
    (folder / "similarities0-1.txt").write_text("1\t0.2\t0.4\n0\tx\t0.6\n0\t0\t1\n")
    with pytest.raises(BadInput, match=r"similarities0-1.txt, line 2: expected 3 numbers"):
        read_lee(tmp_path)
    (folder / "similarities0-1.txt").write_text("1\t0.2\n0\t1\n")
    with pytest.raises(BadInput, match="has 2 rows for 3 documents"):
        read_lee(tmp_path)


def test_sets_that_gensim_carries():
    try:
        if version("gensim") != "4.4.0":
            pytest.skip("gensim is installed in another version")
    except PackageNotFoundError:
        pytest.skip("gensim is not installed")
    lee, simlex, wordsim = (read_pairs(TASKS / name) for name in ("lee", "simlex999", "wordsim353"))
    assert (len(lee.score), len(simlex.score), len(wordsim.score)) == (1225, 999, 353)
    assert (lee.score.min(), lee.score.max()) == (0.2, 1.0)
    assert (simlex.first[0], simlex.second[0], simlex.score[0]) == ("old", "new", 1.58)
    assert (wordsim.first[1], wordsim.second[1], wordsim.score[1]) == ("tiger", "cat", 7.35)
