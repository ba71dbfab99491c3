from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qaemb.encoding.scores import correlation, p_values, random_phases, surrogate_r
from qaemb.stats import q_values

from .planted import ar, within


def surrogates(predicted: np.ndarray, phases: np.ndarray) -> list[np.ndarray]:
    """The surrogate predictions themselves, one a draw."""
    spectrum = np.fft.rfft(predicted, axis=0)
    made = []
    for own in phases:
        turned = spectrum.copy()
        turned[1:] *= np.conj(own)[:, None]
        made.append(np.fft.irfft(turned, n=len(predicted), axis=0))
    return made


@pytest.mark.parametrize("n_rows", [40, 41])
def test_r_of_a_surrogate_is_that_of_its_rows(n_rows):
    rng = np.random.default_rng(0)
    p, m = ar(rng, 0.8, n_rows, 600) + 5, ar(rng, 0.5, n_rows, 600) - 2
    phases = random_phases(n_rows, 6, (0, 1))
    expected = [correlation(own, m) for own in surrogates(p, phases)]
    np.testing.assert_allclose(surrogate_r(p, m, phases), expected, atol=1e-10)


@pytest.mark.parametrize("n_rows", [40, 41])
def test_surrogates_keep_mean_and_spectrum_and_are_real(n_rows):
    p = ar(np.random.default_rng(0), 0.8, n_rows, 3) + 5
    phases = random_phases(n_rows, 4, (0, 1))
    for own in surrogates(p, phases):
        np.testing.assert_allclose(np.abs(np.fft.rfft(own, axis=0)), np.abs(np.fft.rfft(p, axis=0)), atol=1e-9)
        assert np.abs(own - p).max() > 0.1


def test_phases_depend_on_the_seed_alone():
    np.testing.assert_array_equal(random_phases(30, 5, (0, 1)), random_phases(30, 5, (0, 1)))
    assert (random_phases(30, 5, (0, 1)) != random_phases(30, 5, (0, 2))).any()
    np.testing.assert_allclose(np.abs(random_phases(30, 50, (0, 1))), 1.0)
    assert set(random_phases(30, 50, (0, 1))[:, -1]) == {1.0, -1.0}


def test_p_counts_the_surrogates_that_are_not_below():
    rng = np.random.default_rng(0)
    m = [ar(rng, 0.5, n, 5) for n in (31, 44)]
    p = [0.4 * own + ar(rng, 0.5, len(own), 5) for own in m]
    r = np.mean([correlation(a, b) for a, b in zip(p, m, strict=True)], axis=0)
    count = np.zeros(5)
    drawn = [surrogates(own, random_phases(len(own), 99, (7, i))) for i, own in enumerate(p)]
    for of_both in zip(*drawn, strict=True):
        count += np.mean([correlation(own, b) for own, b in zip(of_both, m, strict=True)], axis=0) >= r
    np.testing.assert_allclose(p_values(p, m, 99, 7), (1 + count) / 100)
    assert count.sum() > 0


def test_voxels_are_the_same_in_any_company():
    rng = np.random.default_rng(0)
    p, m = ar(rng, 0.8, 50, 1100), ar(rng, 0.8, 50, 1100)
    np.testing.assert_array_equal(
        p_values([p], [m], 200, 0)[600:610], p_values([p[:, 600:610]], [m[:, 600:610]], 200, 0)
    )


def test_a_constant_prediction_is_not_above_chance():
    m = ar(np.random.default_rng(0), 0.5, 40, 3)
    assert (p_values([np.full((40, 3), 0.1)], [m], 50, 0) == 1).all()


def test_q_is_benjamini_and_hochbergs_by_hand():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    # Sorted: .005 * 4/1, .01 * 4/2, .03 * 4/3, .04 * 4/4, then the smallest from each on.
    np.testing.assert_allclose(q_values(p), [0.02, np.nan, 0.04, 0.04, 0.02])
    assert np.isnan(q_values(np.full(3, np.nan))).all()


@pytest.mark.parametrize(("of_p", "of_m", "n_rows"), [(0.8, 0.8, 100), (0.9, 0.6, 99), (0.4, 0.4, 100)])
def test_p_is_uniform_where_nothing_is_predicted(of_p, of_m, n_rows):
    rng, n = np.random.default_rng(0), 3000
    p, m = ([ar(rng, phi, n_rows, n) for _ in range(2)] for phi in (of_p, of_m))
    found = p_values(p, m, 400, 0)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    for nominal in (0.05, 0.01):
        assert within((found <= nominal).mean(), nominal, n), nominal


def test_predictions_need_not_be_gaussian():
    rng, n = np.random.default_rng(0), 3000
    rare = [(rng.random((103, n)) < 0.1).astype(float) for _ in range(2)]
    p = [sum(own[lag : lag + 100] for lag in range(4)) for own in rare]
    found = p_values(p, [ar(rng, 0.8, 100, n) for _ in range(2)], 400, 0)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert within((found <= 0.05).mean(), 0.05, n)


def test_planted_signal_is_found_and_false_discoveries_stay_under_the_rate():
    """A fifth of the voxels is predicted with r .4, in two stories of 150 TRs."""
    rng, n, planted = np.random.default_rng(0), 300, 60
    false, power = [], []
    for repeat in range(30):
        p = [ar(rng, 0.7, 150, n) for _ in range(2)]
        m = [ar(rng, 0.6, 150, n) for _ in range(2)]
        for own, of in zip(m, p, strict=True):
            own[:, :planted] += 0.45 * of[:, :planted]
        called = q_values(p_values(p, m, 1000, repeat)) < 0.05
        false.append(called[planted:].sum() / max(called.sum(), 1))
        power.append(called[:planted].mean())
    assert np.mean(false) < 0.05
    assert np.mean(power) > 0.9


def test_predictions_shifted_by_half_a_story_are_not_above_chance():
    rng = np.random.default_rng(0)
    m = [ar(rng, 0.7, 120, 500) for _ in range(2)]
    p = [own + ar(rng, 0.7, 120, 500) for own in m]
    assert (q_values(p_values(p, m, 500, 0)) < 0.05).mean() > 0.95
    shifted = [np.roll(own, 60, axis=0) for own in p]
    assert (q_values(p_values(shifted, m, 500, 0)) < 0.05).mean() == 0
