from __future__ import annotations

import shutil

import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.stages import report as stage


def _contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_stage_writes_the_page_its_figures_and_its_tables_twice_the_same(
    settings, workspace, write_outputs, capsys
):
    write_outputs()
    stage.report(settings, workspace)
    names = {path.name for path in (workspace.reports / "figures").iterdir()}
    assert {"scores_UTS01.png", "curve_qa.png", "grades_llm_sentence.png", "cortex_UTS02.png"} <= names
    assert {"importance_gold_UTS01.png", "importance_qa_UTS02.png", "margins_llm_tr.png", "mass_llm_tr.png"} <= names
    assert len(pd.read_csv(workspace.reports / "scores.csv")) == 10
    assert len(pd.read_csv(workspace.reports / "curve.csv")) == 8
    page = (workspace.reports / "index.html").read_text()
    assert page.index("<th>answers</th>") < page.index("<th>tf_idf</th>")  # the better method first
    assert "0.420 to 0.620" in page
    printed = capsys.readouterr().out
    assert printed.startswith("report: ")
    assert printed.count("\n") == 1
    first = _contents(workspace.reports)
    stage.report(settings, workspace)
    assert _contents(workspace.reports) == first
    assert not [path for path in workspace.reports.iterdir() if path.name.startswith(".")]


def test_only_the_data_set_is_needed(settings, workspace, write_outputs):
    write_outputs()
    for folder in ("answers", "validation", "encoding", "selection", "questions"):
        shutil.rmtree(workspace.work / folder)
    shutil.rmtree(workspace.reports)
    shutil.rmtree(workspace.selected)
    (workspace.dataset / "voxels.parquet").unlink()
    stage.report(settings, workspace)
    assert 'class="absent"' in (workspace.reports / "index.html").read_text()
    assert list((workspace.reports / "figures").iterdir()) == []
    assert pd.read_csv(workspace.reports / "scores.csv").empty


def test_without_a_data_set_the_way_out_is_said(settings, workspace):
    with pytest.raises(BadInput, match=r"summary\.json does not exist; run `dvc repro`"):
        stage.report(settings, workspace)
    assert not workspace.reports.exists()


def test_scores_that_can_not_be_paired_are_named(settings, workspace, write_outputs):
    write_outputs()
    (workspace.encoding("gold") / "jackknife.npz").unlink()
    with pytest.raises(BadInput, match="has no scores of UTS01; run the stage `encode` again"):
        stage.report(settings, workspace)


def test_a_failure_leaves_the_old_report(settings, workspace, write_outputs, monkeypatch):
    write_outputs()
    (workspace.dataset / "voxels.parquet").unlink()  # maps take most of the time
    stage.report(settings, workspace)
    before = _contents(workspace.reports)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        stage.report(settings, workspace)
    after = _contents(workspace.reports)
    assert after == before
