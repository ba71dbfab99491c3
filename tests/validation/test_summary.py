"""The summary of a matrix against statistics worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from qaemb.validation import summarise


def _matrix(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"segment_id": [f"s{i}" for i in range(n)], **columns})


def test_statistics_of_a_question():
    row = summarise(_matrix(a=[1.0, -1.0, 3.0, 1.0]), _matrix(a=[0.05, 0.5, 0.9, 0.95]), low_mass=0.1).iloc[0]
    assert row["name"] == "a"
    assert row["mean"] == 1.0
    assert row["sd"] == pytest.approx(np.sqrt((0 + 4 + 4 + 0) / 4))
    assert (row["min"], row["max"], row["yes_rate"], row["n_distinct"], row["n_missing"]) == (-1.0, 3.0, 0.75, 3, 0)
    assert row["mean_mass"] == pytest.approx(0.6)
    assert (row["min_mass"], row["max_mass"], row["share_low_mass"]) == (0.05, 0.95, 0.25)


def test_a_margin_of_zero_is_not_yes():
    assert summarise(_matrix(a=[0.0, 1.0]), _matrix(a=[1.0, 1.0]), 0.1)["yes_rate"].tolist() == [0.5]


def test_missing_and_infinite_cells_are_counted_and_left_out():
    row = summarise(_matrix(a=[np.nan, np.inf, -np.inf, 2.0]), _matrix(a=[1.0, np.nan, 1.0, 1.0]), 0.1).iloc[0]
    assert (row["n_missing"], row["n_missing_mass"], row["mean"], row["max"]) == (3, 1, 2.0, 2.0)


def test_a_question_without_mass_misses_all_of_it():
    row = summarise(_matrix(a=[1.0, 2.0]), _matrix(b=[1.0, 1.0]), 0.1).iloc[0]
    assert row["n_missing_mass"] == 2
    assert np.isnan(row["mean_mass"])


def test_text_in_a_cell_counts_as_missing():
    assert summarise(_matrix(a=["yes", 1.0]), _matrix(a=[1.0, 1.0]), 0.1)["n_missing"].tolist() == [1]


def test_rows_keep_the_order_of_the_questions_and_an_empty_matrix_has_no_statistics():
    table = summarise(_matrix(z=[], a=[]), _matrix(z=[], a=[]), 0.1)
    assert table["name"].tolist() == ["z", "a"]
    assert table["sd"].isna().all()
