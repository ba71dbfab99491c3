"""Ranking metrics against hand-computed cases, scikit-learn and a slow plain count."""

import math

import numpy as np
import pytest

from qaemb.tasks.retrieval.evaluate import _rank_metrics, _tie_order


def test_a_case_computed_by_hand():
    grades = np.array([[0.0, 2.0, 1.0, 0.0]])
    found = _rank_metrics(np.array([[0.9, 0.5, 0.1, 0.7]]), grades, np.arange(4))  # ranks: 0, 3, 1, 2
    assert found["mrr"] == pytest.approx([1 / 3])
    dcg, best = 2 / math.log2(4) + 1 / math.log2(5), 2 / math.log2(2) + 1 / math.log2(3)
    assert found["ndcg_10"] == pytest.approx([dcg / best])
    assert found["recall_1"] == pytest.approx([0.0])
    assert found["recall_5"] == pytest.approx([1.0])


def test_ndcg_is_scikit_learns_and_recall_a_plain_count():
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 150))
    grades = rng.integers(0, 4, size=(20, 150)) * (rng.uniform(size=(20, 150)) < 0.1).astype(float)
    grades[:, 7] = 1.0
    found = _rank_metrics(scores, grades, _tie_order([f"d{number}" for number in range(150)]))
    for row in range(20):
        assert found["ndcg_10"][row] == pytest.approx(ndcg_score(grades[row : row + 1], scores[row : row + 1], k=10))
        order = sorted(range(150), key=lambda column, own=scores[row]: -own[column])
        relevant = [column for column in order if grades[row, column] > 0]
        for k in (1, 5, 10, 100):
            assert found[f"recall_{k}"][row] == len(set(relevant) & set(order[:k])) / len(relevant)
        assert found["mrr"][row] == 1 / (1 + order.index(relevant[0]))


def test_ties_do_not_depend_on_the_order_of_the_file_and_come_out_the_same_each_time():
    names = [f"d{number}" for number in range(40)]
    grades = np.zeros((1, 40))
    grades[0, 3] = 1.0
    scores = np.zeros((1, 40))
    first = _rank_metrics(scores, grades, _tie_order(names))
    turned = _rank_metrics(scores, grades[:, ::-1], _tie_order(names[::-1]))
    assert first["mrr"] == turned["mrr"] == _rank_metrics(scores, grades, _tie_order(names))["mrr"]
    assert 0 < first["mrr"][0] < 1
    ranks = [_rank_metrics(scores, np.eye(40)[[row]], _tie_order(names))["mrr"][0] for row in range(40)]
    assert sorted(1 / rank for rank in ranks) == pytest.approx(range(1, 41))  # each document has a place of its own
