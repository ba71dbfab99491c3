"""A reference on disk: what it keeps, and every kind of damage named."""

import json

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.identity import file_sha256, json_id, text_id
from qaemb.validation.drift import read_reference, write_reference

from .versions import reference, version


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "references" / "r"
    write_reference(reference(version(np.random.default_rng(0).normal(size=(6, 2)))), target)
    return target


def _rewrite(folder, change):
    """Change reference.json and make its digest right again, as a careful forger would."""
    head = json.loads((folder / "reference.json").read_text())
    change(head)
    head["digest"] = json_id({name: value for name, value in head.items() if name != "digest"})
    (folder / "reference.json").write_text(json.dumps(head))


def _replace(folder, name, table):
    table.to_parquet(folder / name, index=False)
    _rewrite(folder, lambda head: head["files"].update({name: file_sha256(folder / name)}))


def test_it_comes_back_as_it_was_written(folder):
    written = reference(version(np.random.default_rng(0).normal(size=(6, 2))))
    back = read_reference(folder)
    assert (back.name, back.accepted_at, back.sample.origin) == ("r", written.accepted_at, written.sample.origin)
    assert back.sample.questions == written.sample.questions
    assert back.sample.texts == written.sample.texts
    pd.testing.assert_frame_equal(back.sample.margin, written.sample.margin)
    pd.testing.assert_frame_equal(back.sample.mass, written.sample.mass)
    pd.testing.assert_frame_equal(back.summary, written.summary)


def test_a_sample_is_of_the_smallest_ids_so_that_versions_of_the_same_texts_keep_the_same_ones():
    margin = np.arange(200.0).reshape(100, 2)
    texts = [f"text {number}" for number in range(100)]
    first = version(margin, texts=texts).sample(10)
    second = version(margin[::-1][:90], texts=texts[::-1][:90]).sample(10)
    ids = sorted(text_id(text) for text in texts)
    assert first.margin["segment_id"].tolist() == ids[:10]
    assert len(set(first.margin["segment_id"]) & set(second.margin["segment_id"])) >= 8
    row = first.margin.iloc[0]
    number = texts.index(first.texts[row["segment_id"]])
    assert row[["q0", "q1"]].tolist() == margin[number].tolist()
    assert len(version(margin).sample(1000).margin) == 100


def test_words_may_be_left_out(tmp_path):
    plain = version(np.ones((3, 1)))
    without = type(plain)(plain.origin, plain.questions, plain.margin, plain.mass)
    write_reference(reference(without), tmp_path / "r")
    assert not (tmp_path / "r" / "texts.parquet").exists()
    assert read_reference(tmp_path / "r").sample.texts == {}


def test_a_missing_one_says_which_there_are(folder):
    with pytest.raises(BadInput, match=r"no reference `x` in .*\(there are: r\).*qaemb drift accept JOB --as x"):
        read_reference(folder.parent / "x")


def _flip_a_byte(folder):
    path = folder / "margin.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _remove_mass(folder):
    (folder / "mass.parquet").unlink()


def _change_a_date(folder):
    path = folder / "reference.json"
    path.write_text(path.read_text().replace("2026-01-02", "2027-01-02"))


def _cut_the_head(folder):
    path = folder / "reference.json"
    path.write_text(path.read_text()[:100])


def _other_format(folder):
    _rewrite(folder, lambda head: head.update(format=9))


def _no_answerer(folder):
    _rewrite(folder, lambda head: head.pop("answerer"))


def _other_words(folder):
    _rewrite(folder, lambda head: head["questions"][0].update(text="Is it?"))


def _unknown_table(folder):
    _rewrite(folder, lambda head: head["files"].update({"extra.parquet": "0"}))


def _row_less(folder):
    _replace(folder, "margin.parquet", pd.read_parquet(folder / "margin.parquet").iloc[:5])


def _other_columns(folder):
    _replace(folder, "mass.parquet", pd.read_parquet(folder / "mass.parquet").rename(columns={"q1": "q9"}))


def _other_rows(folder):
    _replace(folder, "mass.parquet", pd.read_parquet(folder / "mass.parquet").iloc[::-1])


def _missing_cell(folder):
    table = pd.read_parquet(folder / "margin.parquet")
    table.loc[0, "q0"] = np.nan
    _replace(folder, "margin.parquet", table)


def _other_summary(folder):
    _replace(folder, "summary.parquet", pd.read_parquet(folder / "summary.parquet").iloc[:1])


DAMAGE = [
    (_flip_a_byte, r"margin\.parquet is damaged or was changed"),
    (_remove_mass, r"mass\.parquet does not exist, but reference\.json names it"),
    (_change_a_date, r"reference\.json was changed after it was written"),
    (_cut_the_head, r"reference\.json is not valid JSON"),
    (_other_format, r"reference\.json is no reference of format 1"),
    (_no_answerer, r"reference\.json lacks 'answerer'"),
    (_other_words, r"`question_id` is not the hash of its question's words"),
    (_unknown_table, r"`files` names \['extra\.parquet'"),
    (_row_less, r"margin\.parquet is not 6 segments x 2 questions"),
    (_other_columns, r"mass\.parquet is not 6 segments x 2 questions"),
    (_other_rows, r"mass\.parquet has other segments than margin\.parquet"),
    (_missing_cell, r"margin\.parquet holds a value that is not finite"),
    (_other_summary, r"summary\.parquet has other questions"),
]


@pytest.mark.parametrize(("spoil", "says"), DAMAGE, ids=[spoil.__name__[1:] for spoil, _ in DAMAGE])
def test_damage_is_named_with_the_way_out(folder, spoil, says):
    spoil(folder)
    with pytest.raises(BadInput, match=says):
        read_reference(folder)
