"""status, verify, gc, show: what the store has, said to a user."""

import os
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers import Answers
from qaemb.answers.store import Store
from qaemb.errors import BadInput
from qaemb.files import write_table
from qaemb.identity import text_id
from qaemb.settings import ClassificationTask, DownstreamSettings
from qaemb.stages.answer_exchange import show
from qaemb.stages.answer_store import collect_garbage, status
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace


def stage(project, function, *arguments, **options):
    return function(project.settings, Workspace(project.folder), *arguments, **options)


def test_status_before_and_after(project, capsys):
    stage(project, status)
    out = capsys.readouterr().out
    assert "0 answerers, 0 blocks" in out
    assert "pub: 0 of 600 cells" in out
    answers(project.settings, Workspace(project.folder), "pub")
    capsys.readouterr()
    stage(project, status)
    out = capsys.readouterr().out
    assert "1 answerers, 4 blocks" in out
    assert "pub: 600 of 600 cells, set all" in out
    assert out.splitlines()[-1].split() == ["story", "100%"]


def test_status_tells_stories_and_sets_apart(project, capsys):
    workspace = Workspace(project.folder)
    path = workspace.segments("tr") / "occurrences.parquet"
    table = pd.read_parquet(path)
    table["story"] = ["one"] * 50 + ["two"] * 50
    write_table(path, table)
    segments, questions = project.ids
    cells = Answers(*(values[:50, :3] for values in (project.expected.margin, project.expected.mass)))
    project.store.put(segments[:50], questions[:3], cells)
    stage(project, status)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-2:]] == [["one", "50.0%"], ["two", "0%"]]


def test_status_says_what_is_not_known(project, capsys):
    (project.folder / "data/work/segments/tr/segments.parquet").unlink()
    stage(project, status)
    assert "not known: " in capsys.readouterr().out


def test_gc_removes_only_what_nothing_needs_and_only_on_yes(bought, capsys):
    segments, questions = bought.ids
    old = Store(bought.store.root, "0" * 20)
    old.put(segments[:2], questions[:1], Answers(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)))
    other = [text_id("a segment of a story that is gone")]
    bought.store.put(other, questions[:1], Answers(np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)))
    bought.store.put(segments[:25], questions, Answers(*(v[:25] for v in _values(bought))))  # doubled: no date in it
    half = bought.store.folder / ".half.parquet.x.tmp"
    half.write_bytes(b"x")
    young = bought.store.folder / ".young.parquet.x.tmp"
    young.write_bytes(b"x")
    os.utime(half, (time.time() - 2 * 86400,) * 2)
    before = sorted(bought.store.root.rglob("*"))
    stage(bought, collect_garbage, yes=False)
    out = capsys.readouterr().out
    for line in ("1 files of answerers", "1 files doubled", "1 files without a current text", "1 unfinished files"):
        assert line in out
    assert "nothing is removed without --yes" in out
    assert sorted(bought.store.root.rglob("*")) == before
    stage(bought, collect_garbage, yes=True)
    assert "gc: 4 files" in capsys.readouterr().out
    assert young.exists()
    assert not half.exists()
    assert bought.store.files() == [name for name in bought.store.files() if bought.store.key]
    assert bought.wrong() == []
    np.testing.assert_array_equal(bought.store.read(*bought.ids).margin, bought.expected.margin)
    stage(bought, collect_garbage, yes=True)
    assert "gc: 0 files" in capsys.readouterr().out


def test_gc_keeps_a_block_with_one_cell_that_is_needed(bought, capsys):
    workspace = Workspace(bought.folder)
    path = workspace.segments("tr") / "segments.parquet"
    write_table(path, pd.read_parquet(path).iloc[:26])  # the first block whole, one row of the second
    stage(bought, collect_garbage, yes=True)
    assert "gc: 2 files" in capsys.readouterr().out
    assert bought.store.known(*bought.ids).sum() == 50 * 6


def test_gc_keeps_the_answers_to_a_tasks_texts(bought, capsys):
    texts = ["A long walk.", "Two apples."]
    pd.DataFrame({"text": texts, "label": ["x", "y"]}).to_csv(bought.folder / "own.csv", index=False)
    cells = Answers(np.zeros((2, 6), np.float32), np.ones((2, 6), np.float32))
    bought.store.put([text_id(text) for text in texts], bought.ids[1], cells)
    stage(bought, collect_garbage, yes=False)
    assert "1 files without a current text or question" in capsys.readouterr().out
    task = ClassificationTask(kind="classification", data="own.csv", answerer="pub", encoder="any")
    settings = bought.settings.model_copy(update={"downstream": DownstreamSettings(tasks={"own": task})})
    collect_garbage(settings, Workspace(bought.folder), yes=True)
    assert "gc: 0 files" in capsys.readouterr().out
    (bought.folder / "own.csv").unlink()
    with pytest.raises(BadInput, match="own.csv is no file"):
        collect_garbage(settings, Workspace(bought.folder), yes=True)


def test_gc_refuses_where_it_does_not_know_what_is_needed(bought):
    (bought.folder / "data/work/segments/tr/segments.parquet").unlink()
    with pytest.raises(BadInput, match="segments.parquet does not exist"):
        stage(bought, collect_garbage, yes=True)
    assert bought.store.known(*bought.ids).all()


def test_show_tells_every_answer_and_how_it_was_made(bought, capsys):
    segment = bought.segments[7]
    stage(bought, show, segment, None)
    out = capsys.readouterr().out
    assert text_id(segment) in out
    assert f"pub, key {bought.store.key}: engine published" in out
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("q")]
    assert [row[0] for row in rows if row[0] != "question"] == [f"q{number}" for number in range(6)]
    row = next(row for row in rows if row[0] == "q3")
    margin = 7 + 3 / 1000
    assert row[1] == "yes"
    assert float(row[2]) == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-4)
    assert float(row[3]) == pytest.approx(margin, abs=1e-3)
    assert row[6] == "published"
    assert "made up" in out
    block = next(one for one in bought.store.blocks() if text_id(segment) in one.segment_ids)
    assert row[-1] == block.name.split("-")[2][:12]
    made = block.provenance
    assert made is not None
    assert row[5] == made.answered_at


def test_show_takes_an_id_its_beginning_and_one_question(bought, capsys):
    name = text_id(bought.segments[7])
    for wanted in (name, name[:10]):
        stage(bought, show, wanted, "q2")
        out = capsys.readouterr().out
        assert " q2 " in out
        assert " q3 " not in out


@pytest.mark.parametrize(
    ("segment", "question", "message"),
    [
        ("nothing like it", None, "no segment has this id or text"),
        ("", None, "100 segments begin so"),
        ("segment number 7", "q99", "no question `q99`"),
    ],
)
def test_show_says_what_it_does_not_find(bought, segment, question, message):
    with pytest.raises(BadInput, match=message):
        stage(bought, show, segment, question)


def test_a_clock_that_goes_back_changes_nothing(project, monkeypatch):
    """Dates are told, not used: blocks of the future and of the past are read alike."""
    from datetime import UTC, datetime

    from qaemb.answers import blocks as provenance

    for year, n_segments in ((2099, 50), (1970, 100)):
        moment = datetime(year, 1, 2, tzinfo=UTC)
        clock = type("Clock", (datetime,), {"now": staticmethod(lambda _, m=moment: m)})
        monkeypatch.setattr(provenance, "datetime", clock)
        path = project.folder / "data/work/segments/tr/segments.parquet"
        segments, texts = project.ids[0][:n_segments], project.segments[:n_segments]
        write_table(path, pd.DataFrame({"segment_id": segments, "text": texts}))
        answers(project.settings, Workspace(project.folder), "pub")
    dates = sorted(block.provenance.answered_at[:4] for block in project.store.blocks() if block.provenance)
    assert dates == ["1970", "1970", "2099", "2099"]
    assert project.wrong() == []
    np.testing.assert_array_equal(project.store.read(*project.ids).margin, project.expected.margin)


def test_the_spec_stands_beside_the_blocks(bought):
    spec = yaml.safe_load((bought.store.folder / "spec.json").read_text())
    assert spec == bought.store.spec()
    assert spec["engine"] == "published"


def _values(project):
    return project.expected.margin, project.expected.mass
