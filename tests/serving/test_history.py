"""The history's arithmetic against a plain dictionary of cells, and what a merge may not change."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaemb.errors import BadInput
from qaemb.serving.history import _changed_rows, _filled, history_table, merged, read_history, without, write_history

QUESTIONS = ["a", "b", "c"]
DAY = np.datetime64("2026-01-01", "s")

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2"]),
        st.integers(0, 4),
        st.lists(st.sampled_from([np.nan, 1.0, 2.0]), min_size=3, max_size=3),
    ),
    max_size=8,
    unique_by=lambda row: row[:2],
)


def table(rows) -> pd.DataFrame:
    times = np.array([DAY + np.timedelta64(day, "D") for _, day, _ in rows], "datetime64[s]")
    return history_table(
        [segment for segment, _, _ in rows], times, QUESTIONS, np.array([v for *_, v in rows]).reshape(-1, 3)
    )


def at(rows, segment, day) -> list[float]:
    """What was known of a segment on a day: the latest value of each cell that is no later, one after the other."""
    found = [np.nan] * 3
    for _, _, values in sorted((row for row in rows if row[0] == segment and row[1] <= day), key=lambda row: row[1]):
        found = [old if np.isnan(new) else new for old, new in zip(found, values, strict=True)]
    return found


def read_at(history, segment, day) -> list[float]:
    rows = _filled(history)
    rows = rows[(rows["segment"] == segment) & (rows["event_timestamp"] <= pd.Timestamp(DAY + day, tz="UTC"))]
    return rows.iloc[-1][QUESTIONS].tolist() if len(rows) else [np.nan] * 3


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_what_was_known_when_is_what_the_cells_say(rows):
    history = merged(table(rows), table([]))
    for segment in ("s1", "s2"):
        for day in range(5):
            np.testing.assert_array_equal(read_at(history, segment, np.timedelta64(day, "D")), at(rows, segment, day))


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_merging_what_is_known_adds_nothing(rows):
    history = merged(table([]), table(rows))
    for again in (history, _filled(history), table(rows)):
        pd.testing.assert_frame_equal(merged(history, again), history)


def test_only_cells_that_are_news_are_kept():
    first = merged(table([]), table([("s1", 0, [1.0, 2.0, np.nan]), ("s2", 0, [1.0, 1.0, np.nan])]))
    second = merged(first, table([("s1", 3, [1.0, 2.0, 5.0]), ("s2", 3, [1.0, 1.0, np.nan])]))
    assert len(second) == 3
    added = second[second["event_timestamp"] > pd.Timestamp(DAY, tz="UTC")]
    np.testing.assert_array_equal(added[QUESTIONS].to_numpy(), [[np.nan, np.nan, 5.0]])
    assert added["segment"].tolist() == ["s1"]


def test_of_two_values_at_one_time_the_newer_statement_counts():
    history = merged(table([("s1", 0, [1.0, 2.0, 1.0])]), table([("s1", 0, [2.0, np.nan, 1.0])]))
    np.testing.assert_array_equal(history[QUESTIONS].to_numpy(), [[2.0, 2.0, 1.0]])


def test_a_projection_has_a_row_only_where_its_own_questions_changed():
    rows = [("s1", 0, [1.0, 1.0, np.nan]), ("s1", 1, [1.0, 2.0, np.nan]), ("s1", 2, [1.0, 2.0, 2.0])]
    full = _filled(merged(table([]), table(rows)))
    assert len(_changed_rows(full, ["a"])) == 1
    np.testing.assert_array_equal(
        _changed_rows(full, ["c", "b"])[["c", "b"]], [[np.nan, 1.0], [np.nan, 2.0], [2.0, 2.0]]
    )
    np.testing.assert_array_equal(_changed_rows(full, ["never asked"]).shape, (0, 3))


def test_a_file_that_says_the_same_stays_untouched(tmp_path):
    history = merged(table([]), table([("s1", 0, [1.0, 2.0, np.nan])]))
    assert read_history(tmp_path, "key").empty
    write_history(tmp_path, "key", history)
    before = (tmp_path / "key.parquet").stat().st_mtime_ns
    write_history(tmp_path, "key", read_history(tmp_path, "key"))
    assert (tmp_path / "key.parquet").stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(read_history(tmp_path, "key"), history)
    assert without(history, ["s1"]).empty
    with pytest.raises(BadInput, match="can't name a file"):
        read_history(tmp_path, "../key")
