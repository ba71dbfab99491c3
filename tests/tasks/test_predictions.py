"""Accuracy of predictions over repeats and draws, and its intervals, against plain computations."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from qaemb.tasks.classification import _join, _Predictions
from qaemb.tasks.labelled import Labelled, Split
from qaemb.tasks.resampling import mean_with_interval, paired_difference


def random_predictions(n_runs: int = 3, n_texts: int = 60, seed: int = 0) -> _Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_texts)
    predicted = np.where(rng.random((n_runs, n_texts)) < 0.6, truth, rng.integers(3, size=(n_runs, n_texts)))
    return _Predictions(truth, predicted, np.arange(n_texts))


def test_scores_are_scikit_learns_means_over_runs():
    own = random_predictions()
    metrics = own.metrics(200, seed=0)
    for name, score in {
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda y, p: f1_score(y, p, average="macro"),
    }.items():
        assert metrics[name] == pytest.approx(np.mean([score(own.truth, run) for run in own.predicted]))
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]


def test_the_interval_of_a_share_is_the_binomial_one():
    correct = np.repeat([1.0, 0.0], [160, 40])
    own = mean_with_interval(correct, 4000, seed=0)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (own.low, own.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_units_are_drawn_whole():
    # Ten units of 20 texts that are all right or all wrong: the interval is that of ten, not of 200.
    units = np.repeat(np.arange(10), 20)
    correct = (units < 8).astype(float)
    together, alone = (mean_with_interval(correct, 4000, 0, own) for own in (units, None))
    of_ten = mean_with_interval((np.arange(10) < 8).astype(float), 4000, seed=0)
    assert (together.low, together.high) == (of_ten.low, of_ten.high)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.value == alone.value == 0.8


def test_units_of_different_sizes_weigh_by_their_texts():
    units, correct = np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 0.0])
    rng = np.random.default_rng(5)
    drawn = rng.integers(2, size=(256, 2))
    means = [np.mean(np.concatenate([correct[units == unit] for unit in own])) for own in drawn]
    own = mean_with_interval(correct, 256, 5, units)
    assert (own.low, own.high) == tuple(np.percentile(means, (2.5, 97.5)))


def test_a_difference_swaps_whole_units():
    units = np.repeat(np.arange(4), 25)
    better, worse = np.ones(100), np.zeros(100)
    # Four units can swap in 16 ways, two of which are as extreme.
    assert paired_difference(better, worse, 4000, 0, units).p == pytest.approx(2 / 16, abs=0.02)
    assert paired_difference(better, worse, 4000, 0).p == pytest.approx(1 / 4001)


def test_splits_and_draws_are_joined_by_text():
    labelled = Labelled(["a", "b", "c", "d", "e"], ["x", "y", "x", "y", "x"])
    splits = [Split(np.array([4]), np.array([2, 0])), Split(np.array([4]), np.array([1, 3]))]
    draws = [[np.array([0, 1]), np.array([1, 0])], [np.array([1, 1]), np.array([0, 0])]]
    own = _join(labelled, splits, draws)
    assert own.truth.tolist() == [0, 1, 0, 1]  # text e is never tested
    assert own.predicted.tolist() == [[1, 1, 0, 0], [1, 0, 1, 0]]
    assert own.correct.tolist() == [0.0, 0.5, 0.5, 0.0]


def test_repeats_are_runs():
    labelled = Labelled(["a", "b"], ["x", "y"])
    splits = [Split(np.array([1 - test]), np.array([test]), repeat) for repeat in (0, 1) for test in (0, 1)]
    own = _join(labelled, splits, [[np.array([code]) for code in (0, 1, 1, 1)]])
    assert own.predicted.tolist() == [[0, 1], [1, 1]]
