from __future__ import annotations

import numpy as np

from qaemb.encoding.results import importance


def test_importance_by_hand():
    # 2 delays, 3 features, 8 voxels: the best quarter are voxels 1 and 6.
    weights = np.full((2, 3, 8), 9.0, dtype=np.float32)
    weights[:, 0, [1, 6]] = [[1.0, -2.0], [3.0, -4.0]]  # means over delays: 2, -3
    weights[:, 1, [1, 6]] = [[1.0, 1.0], [-1.0, -1.0]]  # 0, 0
    weights[:, 2, [1, 6]] = [[4.0, 4.0], [4.0, 5.0]]  # 4, 4.5
    r = np.array([0.1, 0.9, np.nan, 0.0, -0.5, 0.2, 0.8, 0.3])
    table = importance("S1", ["a", "b", "c"], weights, r)
    assert table["feature"].tolist() == ["c", "a", "b"]
    assert table["importance"].tolist() == [4.25, 2.5, 0.0]
    assert table["signed"].tolist() == [4.25, -0.5, 0.0]
    assert table["rank"].tolist() == [1, 2, 3]
    assert set(table["subject"]) == {"S1"}


def test_voxels_without_a_score_are_never_used():
    weights = np.ones((1, 1, 5), dtype=np.float32)
    weights[..., 2:] = np.nan
    r = np.array([0.1, 0.2, np.nan, np.nan, np.nan])
    assert importance("S1", ["a"], weights, r)["importance"].tolist() == [1.0]
