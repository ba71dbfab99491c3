"""Similarity of pairs on planted answers, against scipy and cases counted by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from qaemb.settings import SimilarityTask
from qaemb.tasks.representations import Usual, answer_vectors
from qaemb.tasks.similarity import _Pairs, _resampled_pairs, _spearman, evaluate_similarity

from .worlds import features_of

SETTINGS = SimilarityTask(kind="similarity", data="-", answerer="a", encoder="e", n_resamples=200)


def planted(n_texts: int = 20, noise: float = 0.1, seed: int = 0):
    """All pairs of some texts; people's score is how alike their answers are, and a little noise."""
    rng = np.random.default_rng(seed)
    texts = [f"text {number}" for number in range(n_texts)]
    margin = rng.normal(size=(n_texts, 6))
    pairs = list(combinations(range(n_texts), 2))
    away = margin - margin.mean(0)
    unit = away / np.linalg.norm(away / margin.std(0), axis=1, keepdims=True) / margin.std(0)
    score = np.array([unit[a] @ unit[b] for a, b in pairs]) + noise * rng.normal(size=len(pairs))
    first, second = ([texts[pair[side]] for pair in pairs] for side in (0, 1))
    return _Pairs(first, second, score), features_of(texts, margin)


def test_answers_that_people_judge_by_are_found_and_the_interval_holds_the_score():
    pairs, features = planted()
    result = evaluate_similarity(pairs, features, SETTINGS)
    scores = {method.name: method.metrics for method in result.methods}
    assert scores["answers"]["spearman"] > 0.9
    assert abs(scores["embedding"]["spearman"]) < 0.3
    for own in scores.values():
        assert own["spearman_low"] <= own["spearman"] <= own["spearman_high"]
    table = result.tables["pairs"]
    for name in scores:
        assert scores[name]["spearman"] == pytest.approx(np.nan_to_num(spearmanr(table[name], table["score"])[0]))
    gain = scores["answers"]["spearman"] - scores["embedding"]["spearman"]
    assert result.metrics["answers_minus_embedding_spearman"] == pytest.approx(gain)
    assert result.metrics["answers_minus_embedding_spearman_low"] > 0
    assert result.notes == ["190 pairs of 20 texts; intervals by a bootstrap over texts, as pairs share them"]


def test_cognitive_load_is_the_mean_number_of_questions_that_both_say_yes_to():
    margin = np.array([[1.0, 2.0, -1.0], [3.0, 0.5, 2.0], [-1.0, 1.0, 2.0], [-1.0, -1.0, -1.0]])
    texts = ["a", "b", "c", "d"]
    pairs = _Pairs(["a", "a", "b"], ["b", "c", "d"], np.array([3.0, 2.0, 1.0]))  # shared: 2, 1, 0
    result = evaluate_similarity(pairs, features_of(texts, margin), SETTINGS)
    assert result.tables["pairs"]["shared_yes"].tolist() == [2, 1, 0]
    assert result.methods[0].metrics["shared_yes"] == pytest.approx(1.0)
    assert "shared_yes" not in {m.name: m.metrics for m in result.methods}["embedding"]


def test_spearman_is_scipys_and_zero_where_all_is_alike():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 60).astype(float), rng.normal(size=60)
    assert _spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert _spearman(np.ones(10), np.arange(10.0)) == 0


def test_pairs_that_share_no_text_are_drawn_one_by_one():
    first, second = np.arange(0, 20, 2), np.arange(1, 20, 2)
    for rows in _resampled_pairs(first, second, 20, seed=0):
        assert len(rows) == 10


def test_texts_in_many_pairs_are_drawn_and_a_pair_counts_as_often_as_both_were():
    first, second = (np.array(own) for own in zip(*combinations(range(8), 2), strict=True))
    samples = list(_resampled_pairs(first, second, 300, seed=0))
    rng = np.random.default_rng(0)
    for rows in samples[:5]:
        drawn = np.bincount(rng.integers(8, size=8), minlength=8)
        slow = [pair for pair, (a, b) in enumerate(combinations(range(8), 2)) for _ in range(drawn[a] * drawn[b])]
        assert rows.tolist() == slow
    assert np.mean([len(rows) for rows in samples]) == pytest.approx(28 * 7 / 8, rel=0.05)  # 1 - 1/n of all pairs


def test_intervals_over_texts_are_wider_than_if_pairs_were_independent():
    pairs, features = planted(noise=1.0)
    own = evaluate_similarity(pairs, features, SETTINGS).methods[0].metrics
    rng = np.random.default_rng(0)
    table = evaluate_similarity(pairs, features, SETTINGS).tables["pairs"]
    drawn = [table.iloc[rng.integers(len(table), size=len(table))] for _ in range(200)]
    wrong = np.percentile(
        [_spearman(part["answers"].to_numpy(), part["score"].to_numpy()) for part in drawn], [2.5, 97.5]
    )
    assert own["spearman_high"] - own["spearman_low"] > wrong[1] - wrong[0]


def test_vectors_are_deviations_times_mass_of_length_one():
    margin = np.array([[1.0, 5.0, 2.0], [3.0, 5.0, 4.0], [5.0, 5.0, 0.0]], np.float32)
    mass = np.ones_like(margin)
    mass[0, 2] = 0
    vectors = answer_vectors(margin, mass, Usual.of(margin))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])
    assert vectors[0].tolist() == pytest.approx([-1, 0, 0])  # a constant question and one without mass say nothing
    assert vectors[2] == pytest.approx(np.array([1, 0, -1]) / np.sqrt(2), abs=1e-6)
    assert not answer_vectors(margin, np.zeros_like(mass), Usual.of(margin)).any()
