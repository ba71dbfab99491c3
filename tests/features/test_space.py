from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.features.space import Space, join_spaces, read_space, write_space


def make(names=("food", "time"), lengths=(("b", 3), ("a", 2)), seed=0) -> Space:
    rng = np.random.default_rng(seed)
    return Space(list(names), {s: rng.standard_normal((n, len(names))).astype(np.float32) for s, n in lengths})


def test_a_space_comes_back_as_it_was_written_stories_in_order(tmp_path):
    space = make()
    write_space(tmp_path / "features.parquet", space)
    back = read_space(tmp_path / "features.parquet")
    assert back.names == space.names
    assert list(back.values) == ["b", "a"]
    for story in space.values:
        np.testing.assert_array_equal(back.values[story], space.values[story])


def test_the_table_has_the_columns_of_the_contract(tmp_path):
    write_space(tmp_path / "features.parquet", make())
    table = pd.read_parquet(tmp_path / "features.parquet")
    assert list(table.columns) == ["story", "tr", "food", "time"]
    assert [str(dtype) for dtype in table.dtypes[1:]] == ["int32", "float32", "float32"]
    assert table["tr"].tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("names", [("tr", "food"), ("story", "food"), ("food", "food"), ()])
def test_a_name_that_is_taken_is_refused_and_nothing_is_written(tmp_path, names):
    with pytest.raises(BadInput):
        write_space(tmp_path / "features.parquet", make(names))
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_is_not_finite_names_feature_and_story(tmp_path):
    space = make()
    space.values["a"][1, 1] = np.nan
    with pytest.raises(BadInput, match="`time` is not finite in story a"):
        write_space(tmp_path / "features.parquet", space)


def test_rows_out_of_order_are_refused(tmp_path):
    write_space(tmp_path / "features.parquet", make())
    table = pd.read_parquet(tmp_path / "features.parquet")
    table.iloc[[1, 0, 2, 3, 4]].to_parquet(tmp_path / "features.parquet", index=False)
    with pytest.raises(BadInput, match="story b are not 0 to 2"):
        read_space(tmp_path / "features.parquet")


def test_another_table_is_refused(tmp_path):
    pd.DataFrame({"segment_id": ["x"], "food": [1.0]}).to_parquet(tmp_path / "features.parquet")
    with pytest.raises(BadInput, match="columns story and tr"):
        read_space(tmp_path / "features.parquet")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        read_space(tmp_path / "features.parquet")


def test_joined_spaces_name_where_a_feature_is_from():
    a, b = make(), make(("food",), seed=1)
    joined = join_spaces(["llm", "student"], [a, b])
    assert joined.names == ["llm:food", "llm:time", "student:food"]
    np.testing.assert_array_equal(joined.values["b"], np.hstack([a.values["b"], b.values["b"]]))


def test_a_joined_space_says_which_columns_are_of_which_space():
    a, b = make(("llm:food", "time")), make(("food",), seed=1)  # a name of a feature may hold a colon itself
    joined = join_spaces(["student", "llm"], [a, b])
    assert {part: joined.names[columns] for part, columns in joined.parts.items()} == {
        "student": ["student:llm:food", "student:time"],
        "llm": ["llm:food"],
    }


def test_one_space_keeps_its_names():
    a = make()
    alone = join_spaces(["llm"], [a])
    assert alone.names == a.names
    assert alone.values is a.values
    assert alone.parts == {"llm": slice(0, 2)}


@pytest.mark.parametrize("lengths", [(("b", 3), ("a", 3)), (("b", 3),)])
def test_spaces_of_other_stories_or_rows_are_not_joined(lengths):
    with pytest.raises(BadInput, match="llm and other differ"):
        join_spaces(["llm", "other"], [make(), make(lengths=lengths)])
