from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.report.data import CortexMap, DatasetFacts, QuestionFacts, Selection, read_importance, read_scores
from qaemb.report.jobs import _read_histogram


def test_a_histogram_counts_every_finite_cell(tmp_path):
    values = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    values[3, 2] = np.nan
    table = pd.DataFrame(values, columns=list("abcde")).assign(segment_id="x")
    table.to_parquet(tmp_path / "margin.parquet")
    found = _read_histogram(tmp_path / "margin.parquet")
    known = values[np.isfinite(values)]
    assert found.edges[[0, -1]] == pytest.approx([known.min(), known.max()])
    assert np.array_equal(found.counts, np.histogram(known, found.edges)[0])


def test_values_outside_the_limits_count_in_the_end_bins(tmp_path):
    pd.DataFrame({"segment_id": ["a", "b", "c"], "q": np.float32([-0.1, 0.5, 1.00001])}).to_parquet(
        tmp_path / "m.parquet"
    )
    found = _read_histogram(tmp_path / "m.parquet", (0.0, 1.0))
    assert (found.counts[0], found.counts[-1], found.counts.sum()) == (1, 1, 3)


@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, np.nan]])
def test_a_matrix_without_spread_still_has_bins(tmp_path, values):
    pd.DataFrame({"segment_id": ["a", "b"], "q": np.float32(values)}).to_parquet(tmp_path / "m.parquet")
    found = _read_histogram(tmp_path / "m.parquet")
    assert found.edges[0] < found.edges[-1]
    assert found.counts.sum() == np.isfinite(values).sum()


def test_a_missing_matrix_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"margin\.parquet does not exist"):
        _read_histogram(tmp_path / "margin.parquet")


def test_scores_are_rows_and_what_is_not_known_is_nan(tmp_path):
    (tmp_path / "qa.json").write_text(json.dumps({"S1": {"mean_r": 0.5, "r_low": None, "n_voxels": 3, "other": 1}}))
    table = read_scores({"qa": tmp_path / "qa.json", "gold": tmp_path / "absent.json"})
    assert table[["subject", "model", "mean_r", "n_voxels"]].values.tolist() == [["S1", "qa", 0.5, 3]]
    assert np.isnan(table.loc[0, ["r_low", "mean_ceiling"]].astype(float)).all()
    assert read_scores({}).empty


def test_facts_of_the_data_set_need_their_keys(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"stories": {"train": 1}}))
    with pytest.raises(BadInput, match=r"summary\.json lacks 'test'"):
        DatasetFacts.read("tiny", tmp_path)


def test_questions_that_were_not_made_are_none(tmp_path):
    assert QuestionFacts.read(tmp_path) is None


def test_a_curve_is_the_mean_over_subjects_with_its_range(tmp_path, write_outputs, workspace):
    write_outputs()
    found = Selection.read("qa", workspace.selection("qa"), workspace.selected / "qa.yaml")
    row = found.curve.query("method == 'elastic_net' and n_questions == 4").iloc[0]
    assert (row["r"], row["r_low"], row["r_high"]) == pytest.approx((0.16, 0.16, 0.16))
    assert found.question_names == ("question_0", "question_1", "question_2")
    assert Selection.read("qa", tmp_path / "absent", tmp_path / "absent.yaml") is None


def test_a_curve_with_other_columns_is_named(tmp_path):
    (tmp_path / "curve.csv").write_text("size,score\n1,0.5\n")
    with pytest.raises(BadInput, match=r"curve\.csv lacks the columns \['method', 'n_questions', 'r'\]"):
        Selection.read("qa", tmp_path, tmp_path / "qa.yaml")


def test_importance_is_scaled_to_the_highest(write_outputs, workspace):
    write_outputs()
    table = read_importance({"qa": workspace.encoding("qa"), "absent": workspace.encoding("absent")}, 3)
    first = table[table["subject"] == "UTS01"]
    assert list(first["name"]) == ["question_5", "question_4", "question_3"]
    assert list(first["importance"]) == pytest.approx([1, 5 / 6, 4 / 6])
    assert list(first["signed"]) == pytest.approx([-1, -5 / 6, -4 / 6])


def test_maps_hold_scores_by_voxel_number(write_outputs, workspace):
    write_outputs()
    voxels, scores = workspace.dataset / "voxels.parquet", workspace.encoding("gold") / "scores.parquet"
    maps = CortexMap.read(voxels, scores)
    assert [one.subject for one in maps] == ["UTS01", "UTS02"]
    written = pd.read_parquet(scores).query("subject == 'UTS02'")
    assert np.array_equal(maps[1].r, written["r"].to_numpy(), equal_nan=True)
    assert CortexMap.read(voxels, workspace.encoding("absent") / "scores.parquet") == ()
    voxels.unlink()
    assert CortexMap.read(voxels, scores) == ()
