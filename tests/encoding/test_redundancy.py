from __future__ import annotations

import numpy as np
import pandas as pd

from qaemb.encoding.redundancy import correlations, find_redundancy
from qaemb.features.space import zscore

NAMES = ["food", "lone", "eats", "flat", "outdoors", "indoors"]


def stories():
    rng = np.random.default_rng(0)
    made = []
    for n in (60, 90):
        own = rng.standard_normal((n, 6))
        own[:, 2] = own[:, 0] + 0.3 * rng.standard_normal(n)
        own[:, 3] = 1.0
        own[:, 5] = -own[:, 4] + 0.2 * rng.standard_normal(n)
        made.append(zscore(own))
    return made


def test_correlations_are_pearsons_over_the_z_scored_rows():
    made = stories()
    r = correlations(made)
    expected = np.corrcoef(np.vstack(made)[:, [0, 1, 2, 4, 5]].T)
    known = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(r[np.ix_(known, known)], expected, atol=1e-12)
    assert np.isnan(r[3]).all()
    assert np.isnan(r[:, 3]).all()


def test_copies_and_opposites_are_one_cluster_and_a_constant_question_stands_alone():
    r = correlations(stories())
    before = r.copy()
    found = find_redundancy(NAMES, r, 0.5)
    table = found.table().set_index("question")
    np.testing.assert_array_equal(r, before)
    assert sorted(map(sorted, found.members())) == [[0, 2], [1], [3], [4, 5]]
    assert found.members()[0] in ([0, 2], [4, 5])  # the largest clusters have the lowest numbers
    assert table.loc["food", ["nearest", "size"]].tolist() == ["eats", 2]
    assert table.loc["food", "cluster"] == table.loc["eats", "cluster"]
    assert table.loc["indoors", "nearest"] == "outdoors"
    assert table.loc["indoors", "r"] < -0.9
    assert table.loc["lone", "representative"] == "lone"
    assert pd.isna(table.loc["flat", "nearest"])
    assert np.isnan(table.loc["flat", "r"])
    order = [NAMES[i] for i in found.order]
    assert table.index.tolist() == order
    assert abs(order.index("food") - order.index("eats")) == 1


def test_a_representative_is_closest_to_the_others():
    r = np.array([[1.0, 0.9, 0.5], [0.9, 1.0, 0.9], [0.5, 0.9, 1.0]])
    found = find_redundancy(["a", "b", "c"], r, 0.3)
    assert found.cluster.tolist() == [1, 1, 1]
    assert found.representative([0, 1, 2]) == 1
    assert find_redundancy(["a", "b", "c"], r, 0.8).members() == [[0, 1], [2]]


def test_one_question_is_a_cluster():
    found = find_redundancy(["a"], np.ones((1, 1)), 0.5)
    assert found.table()[["question", "cluster", "size"]].values.tolist() == [["a", 1, 1]]
