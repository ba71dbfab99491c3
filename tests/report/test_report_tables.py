from __future__ import annotations

import pytest

from qaemb.report.data import DatasetFacts, Findings
from qaemb.stages.report import gather


def test_scores_are_tidy_with_differences_beside_them(settings, workspace, write_outputs):
    write_outputs()
    table = gather(settings, workspace).score_table().set_index(["subject", "model"])
    assert len(table) == 2 * 5
    assert table.loc[("UTS02", "gold"), "mean_r"] == pytest.approx(0.31)
    assert table.loc[("UTS01", "gold"), "vs_word_rate"] == pytest.approx(0.20)
    assert table.loc[("UTS01", "qa"), "vs_embedding_high"] == pytest.approx(-0.05)
    assert table.loc[("UTS01", "word_rate"), ["vs_word_rate"]].isna().all()


def test_curves_of_all_spaces_in_one_table(settings, workspace, write_outputs):
    write_outputs()
    table = gather(settings, workspace).curve_table()
    assert list(table.columns) == ["space", "method", "n_questions", "r", "r_low", "r_high"]
    assert len(table) == 2 * 4


def test_tables_without_findings_keep_their_columns():
    nothing = Findings(DatasetFacts("tiny", 1, 1, (), 1, 1, 1, {}))
    assert list(nothing.curve_table().columns)[:2] == ["space", "method"]
    assert list(nothing.score_table().columns)[:2] == ["subject", "model"]
