"""Scores of cells: cases computed by hand, and scikit-learn and SciPy as oracles."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from qaemb import stats as cal


def logit(p):
    p = np.asarray(p, float)
    return np.log(p / (1 - p))


@pytest.fixture(params=range(4))
def cells(request):
    rng = np.random.default_rng(request.param)
    truth = (rng.random(300) < 0.3).astype(float)
    margin = np.round(rng.normal(truth, 2), request.param)  # rounding makes ties
    return margin, truth


def test_the_hand_computed_case():
    margin, truth = logit([0.9, 0.8, 0.35, 0.3, 0.25]), np.array([1.0, 0, 1, 0, 0])
    assert cal.auc(margin, truth) == pytest.approx(5 / 6)  # of 6 pairs only (0.35, 0.8) is in the wrong order
    assert cal.balanced_accuracy(margin, truth) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert cal.brier(margin, truth) == pytest.approx((0.01 + 0.64 + 0.4225 + 0.09 + 0.0625) / 5)
    curve = cal.reliability(margin, truth)
    # Bins (0.2, 0.3], (0.3, 0.4], (0.7, 0.8], (0.8, 0.9]; 0.3 and 0.8 may fall on either side by rounding.
    assert curve.n.sum() == 5
    assert cal.reliability(logit([0.15, 0.12, 0.75]), np.array([0.0, 1, 1])).ece() == pytest.approx(
        (2 * abs(0.135 - 0.5) + abs(0.75 - 1)) / 3
    )


def test_ties_count_half():
    assert cal.auc(np.zeros(5), np.array([1.0, 0, 0, 1, 0])) == 0.5
    assert cal.auc(np.array([0.0, 0, 1]), np.array([0.0, 1, 1])) == 0.75


def test_scikit_learn_agrees(cells):
    margin, truth = cells
    p = cal.probability(margin)
    assert cal.auc(margin, truth) == pytest.approx(roc_auc_score(truth, margin), abs=1e-12)
    assert cal.balanced_accuracy(margin, truth) == pytest.approx(balanced_accuracy_score(truth, margin > 0))
    assert cal.brier(margin, truth) == pytest.approx(brier_score_loss(truth, p))
    share, mean = calibration_curve(truth, p, n_bins=cal.N_BINS)
    curve = cal.reliability(margin, truth)
    np.testing.assert_allclose(curve.share_yes, share)
    np.testing.assert_allclose(curve.mean_p, mean)
    counts = np.histogram(p, np.linspace(0, 1, cal.N_BINS + 1))[0]
    assert curve.n.sum() == counts.sum() == 300
    assert curve.ece() == pytest.approx((np.abs(share - mean) * curve.n).sum() / 300)


def test_weights_are_repetitions(cells):
    margin, truth = cells
    counts = np.random.default_rng(9).integers(0, 4, (5, len(margin)))
    expected = [roc_auc_score(np.repeat(truth, count), np.repeat(margin, count)) for count in counts]
    np.testing.assert_allclose(cal.resampled_auc(margin, truth, counts.astype(float)), expected)


def test_one_class_has_no_auc_but_a_brier_score():
    margin, truth = np.array([1.0, 2.0]), np.ones(2)
    assert np.isnan(cal.auc(margin, truth))
    assert np.isnan(cal.balanced_accuracy(margin, truth))
    assert cal.brier(margin, truth) < 0.1


def test_large_margins_do_not_overflow():
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(cal.probability(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])
    assert cal.reliability(np.array([-1e4, 1e4]), np.array([0.0, 1])).ece() == 0


def test_correlations_and_kappa_agree_with_the_libraries(cells):
    margin, truth = cells
    other = margin + np.random.default_rng(3).normal(size=len(margin))
    assert cal.pearson(margin, other) == pytest.approx(pearsonr(margin, other).statistic)
    assert cal.spearman(margin, other) == pytest.approx(spearmanr(margin, other).statistic)
    assert cal.kappa(margin > 0, other > 0) == pytest.approx(cohen_kappa_score(margin > 0, other > 0))
    assert cal.kappa(margin > 0, truth == 1) == pytest.approx(cohen_kappa_score(margin > 0, truth == 1))


def test_what_is_not_defined_is_nan():
    assert np.isnan(cal.pearson(np.array([1.0]), np.array([2.0])))
    assert np.isnan(cal.spearman(np.ones(3), np.arange(3.0)))
    assert np.isnan(cal.kappa(np.ones(3, bool), np.ones(3, bool)))
    assert cal.kappa(np.ones(3, bool), np.zeros(3, bool)) == 0
    assert all(np.isnan(cal.interval(np.array([np.nan]))))


def test_the_bootstrap_draws_texts_and_means_over_questions():
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 3)) < 0.4).astype(float)
    margin = rng.normal(truth, 1)
    questions = [cal.Cells(np.arange(60), margin[:, q], truth[:, q]) for q in range(3)]
    means = cal.bootstrap_mean_auc(questions, 60, 120, seed=5)
    replay = np.random.default_rng(5)
    for mean in means[:60]:
        drawn = replay.integers(0, 60, 60)
        expected = np.mean([roc_auc_score(truth[drawn, q], margin[drawn, q]) for q in range(3)])
        assert mean == pytest.approx(expected)
    low, high = cal.interval(means)
    assert low < np.mean([cal.auc(margin[:, q], truth[:, q]) for q in range(3)]) < high


def test_a_question_without_both_classes_is_left_out_of_the_bootstraps_mean():
    both = cal.Cells(np.arange(4), np.array([0.0, 1, 2, 3]), np.array([0.0, 0, 1, 1]))
    one = cal.Cells(np.arange(4), np.arange(4.0), np.ones(4))
    means = cal.bootstrap_mean_auc([both, one], 4, 200, seed=0)
    assert set(means[np.isfinite(means)]) == {1.0}
    assert np.isnan(cal.bootstrap_mean_auc([one], 4, 10, seed=0)).all()
