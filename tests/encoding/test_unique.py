"""What features add: against models that are fitted again without them, and on signals that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from qaemb.encoding.interpretation import _LeaveOut, _Unique
from qaemb.encoding.jackknife import Scorer, confidence, jackknife_r, paired_difference
from qaemb.encoding.recording import _delayed_columns, delayed
from qaemb.encoding.ridge import Spectrum

from .planted import ar

DELAYS, N_FEATURES = [1, 2], 8
SETS = [(0,), (3,), (1, 2, 5), tuple(range(4))]


def columns_of(features):
    return _delayed_columns(features, N_FEATURES, len(DELAYS))


@pytest.fixture(params=[90, 11], ids=["more rows than columns", "fewer"])
def problem(request):
    rng = np.random.default_rng(0)
    design = delayed(rng.standard_normal((request.param, N_FEATURES)), DELAYS)
    responses = rng.standard_normal((request.param, 7))
    test = {story: rng.standard_normal((n, N_FEATURES)) for story, n in (("x", 40), ("y", 33))}
    alphas = np.array([0.5, 10.0, 0.5, 3.0, 300.0, 10.0, 3.0])
    return design, responses, test, alphas


def spectrum_of(design):
    wide = design.shape[1] > len(design)
    return Spectrum.of_rows(design) if wide else Spectrum.of_products(design.T @ design)


def refitted(design, responses, columns, alphas):
    """Return the weights of scikit-learn's Ridge on some columns, one fit a target."""
    fits = [
        Ridge(alpha, fit_intercept=False, solver="svd").fit(design[:, columns], y)
        for alpha, y in zip(alphas, responses.T, strict=True)
    ]
    return np.stack([fit.coef_ for fit in fits], axis=1)


def test_weights_and_inverse_are_those_of_the_normal_equations(problem):
    design, responses, _, alphas = problem
    spectrum = spectrum_of(design)
    everything = np.arange(design.shape[1])
    weights = spectrum.weights(design.T @ responses, alphas)
    np.testing.assert_allclose(weights, refitted(design, responses, everything, alphas), atol=1e-10)
    expected = np.linalg.inv(design.T @ design + 3.0 * np.eye(len(everything)))
    np.testing.assert_allclose(spectrum.inverse(3.0), expected, atol=1e-12)


def test_leaving_columns_out_is_fitting_again_without_them(problem):
    design, responses, test, alphas = problem
    spectrum = spectrum_of(design)
    plan = _LeaveOut(spectrum, test, DELAYS, [columns_of(own) for own in SETS])
    weights = spectrum.weights(design.T @ responses, alphas)
    predicted = plan.predict(weights)
    rows = np.vstack([delayed(values, DELAYS) for values in test.values()])
    for number, left_out in enumerate(SETS):
        kept = np.setdiff1d(np.arange(design.shape[1]), columns_of(left_out))
        expected = rows[:, kept] @ refitted(design, responses, kept, alphas)
        found = plan.without(number, predicted, weights, alphas)
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert np.abs(found - predicted).max() > 0.01
    assert [len(own) for own in plan.stories(predicted)] == [40, 33]


def test_a_column_of_zeros_adds_nothing(problem):
    design, responses, test, alphas = problem
    design = design.copy()
    design[:, columns_of((3,))] = 0.0
    spectrum = spectrum_of(design)
    plan = _LeaveOut(spectrum, test, DELAYS, [columns_of((3,))])
    weights = spectrum.weights(design.T @ responses, alphas)
    predicted = plan.predict(weights)
    np.testing.assert_allclose(plan.without(0, predicted, weights, alphas), predicted, atol=1e-12)


def stories(rng, n_voxels=5):
    return [rng.standard_normal((n, n_voxels)) + 2.0 for n in (60, 47)]


def test_scores_are_those_of_the_jackknife_and_of_plain_sums_of_squares():
    rng = np.random.default_rng(1)
    measured = stories(rng)
    predicted = [0.5 * own + noise for own, noise in zip(measured, stories(rng), strict=True)]
    predicted[0][:, 4] = 1.5
    value, left_out = Scorer(measured, 10).score(predicted)
    expected = jackknife_r(predicted, measured, 10)
    np.testing.assert_allclose(value[0], expected.value, atol=1e-12)
    np.testing.assert_allclose(left_out[0], expected.left_out, atol=1e-12)
    np.testing.assert_array_equal(Scorer(measured, 10).story, expected.story)

    def share(p, m):
        p, m = p - p.mean(axis=0), m - m.mean(axis=0)
        return 1 - ((m - p) ** 2).sum(axis=0) / (m**2).sum(axis=0)

    pairs = list(zip(predicted, measured, strict=True))
    np.testing.assert_allclose(value[1], np.mean([share(*own) for own in pairs], axis=0), atol=1e-12)
    without_first_rows = [share(predicted[0][10:], measured[0][10:]), share(*pairs[1])]
    np.testing.assert_allclose(left_out[1, 0], np.mean(without_first_rows, axis=0), atol=1e-12)


def test_means_over_voxels_are_paired_differences_of_two_models(problem):
    design, responses, test, alphas = problem
    rng = np.random.default_rng(2)
    measured = [rng.standard_normal((len(values), 7)) for values in test.values()]
    plan = _LeaveOut(spectrum_of(design), test, DELAYS, [columns_of(own) for own in SETS])
    unique = _Unique(plan, 2, 10)
    member = np.stack([np.ones(7), np.arange(7) < 3], axis=1)
    xy = design.T @ responses
    blocks = [slice(0, 4), slice(4, 7)]
    parts = [unique.add(xy[:, own], [m[:, own] for m in measured], alphas[own], member[own]) for own in blocks]
    value, interval = unique.means(member.sum(axis=0))
    added = np.concatenate([own for _, own in parts], axis=2)
    np.testing.assert_allclose(value[:, :, 1], added[:, :, :3].mean(axis=2), atol=1e-12)

    weights = plan.spectrum.weights(xy, alphas)
    predicted = plan.predict(weights)
    other = plan.stories(plan.without(2, predicted, weights, alphas))
    full, without = (jackknife_r(own, measured, 10) for own in (plan.stories(predicted), other))
    difference = paired_difference(full, without)
    np.testing.assert_allclose(added[0, 2], difference.value, atol=1e-12)
    mean = type(difference)(difference.value.mean(), difference.left_out.mean(axis=1), difference.story)
    expected = confidence(mean)
    assert (interval.low[0, 2, 0], interval.high[0, 2, 0]) == pytest.approx((expected.low, expected.high))
    assert interval.p[0, 2, 0] == pytest.approx(expected.p)


def test_a_signal_of_its_own_counts_a_copied_one_does_not_and_noise_is_not_called_useful():
    called, harm = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        features = {story: ar(rng, 0.7, n, 6) for story, n in (("train", 900), ("x", 150), ("y", 150))}
        for values in features.values():
            values[:, 2] = values[:, 1]
        weights = np.array([1.0, -1.0, -1.0, 0.0, 0.0, 0.0])[:, None] * np.ones(20)
        responses = {
            story: delayed(values, [1]) @ weights + 3 * ar(rng, 0.4, len(values), 20)
            for story, values in features.items()
        }
        design = delayed(features["train"], DELAYS)
        test = {story: features[story] for story in ("x", "y")}
        sets = [(0,), (1,), (2,), (3,), (4,), (1, 2)]
        plan = _LeaveOut(spectrum_of(design), test, DELAYS, [_delayed_columns(own, 6, 2) for own in sets])
        unique = _Unique(plan, 1, 25)
        unique.add(design.T @ responses["train"], [responses["x"], responses["y"]], np.full(20, 10.0), np.ones((20, 1)))
        value, found = unique.means(np.array([20.0]))
        assert value[0, 0, 0] > 0.03
        assert found.low[0, 0, 0] > 0
        assert np.abs(value[0, [1, 2], 0]).max() < 0.005  # each can stand in for the other
        assert value[0, 5, 0] > 0.1  # both together cannot be replaced
        called.append(found.low[0, 3:5, 0] > 0)
        harm.append(value[0, 3:5, 0])
    assert np.mean(called) < 0.08  # nominally .025, of 80
    assert np.mean(harm) < 0  # what is fitted to noise costs a little, so their intervals lie around or below 0
