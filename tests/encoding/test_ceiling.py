from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.metrics import _normalised_r
from qaemb.encoding.scores import correlation, noise_ceiling


def ceiling_of(repeats):
    return noise_ceiling(repeats)[0]


def reliable(repeats):
    return noise_ceiling(repeats)[1]


def planted(noise_sd: float, n_repeats: int, n_trs: int = 400, n_voxels: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_trs, n_voxels))
    return signal, signal + noise_sd * rng.standard_normal((n_repeats, n_trs, n_voxels))


@pytest.mark.parametrize(("noise_sd", "n_repeats"), [(1.0, 2), (2.0, 5), (3.0, 10)])
def test_the_ceiling_is_what_the_signal_itself_scores(noise_sd, n_repeats):
    signal, repeats = planted(noise_sd, n_repeats)
    ceiling = ceiling_of(repeats)
    assert ceiling.mean() == pytest.approx(1 / np.sqrt(1 + noise_sd**2 / n_repeats), abs=0.01)
    assert ceiling.mean() == pytest.approx(correlation(signal, repeats.mean(axis=0)).mean(), abs=0.01)


def test_the_formula_by_hand():
    # Two repeats (1, -1, 0) and (1, 0, -1): variances 2/3 each, of their mean (1, -.5, -.5) 1/2.
    repeats = np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])[:, :, None]
    signal_power = (2 * 1 / 2 - 2 / 3) / (2 - 1)
    assert ceiling_of(repeats)[0] == pytest.approx(np.sqrt(signal_power / (1 / 2)))


def test_negative_signal_power_is_cut_at_zero():
    _, repeats = planted(1.0, 2)
    # Opposite but for a little: their mean varies less than chance would leave.
    assert (ceiling_of(np.stack([repeats[0], 0.1 * repeats[1] - repeats[0]])) == 0).all()


def test_noise_alone_has_a_low_ceiling():
    noise = np.random.default_rng(0).standard_normal((10, 400, 300))
    assert np.median(ceiling_of(noise)) < 0.2


def test_the_mean_level_of_a_repeat_does_not_count():
    _, repeats = planted(1.0, 3)
    shifted = repeats + np.array([0.0, 10.0, -5.0])[:, None, None]
    np.testing.assert_allclose(ceiling_of(shifted), ceiling_of(repeats), atol=1e-9)


def test_identical_repeats_have_ceiling_one():
    signal, _ = planted(1.0, 2)
    assert ceiling_of(np.stack([signal] * 3)) == pytest.approx(1.0)
    assert reliable(np.stack([signal] * 3)).all()


def test_what_can_not_be_estimated_is_nan():
    _, repeats = planted(1.0, 4, n_voxels=3)
    repeats[1, 7, 0], repeats[:, :, 1] = np.nan, 5.0
    assert np.isnan(ceiling_of(repeats)).tolist() == [True, True, False]
    assert reliable(repeats).tolist() == [False, False, True]
    assert np.isnan(ceiling_of(repeats[:1])).all()
    assert not reliable(repeats[:1]).any()


def test_cc_norm_is_the_share_of_the_ceiling():
    r = np.array([[0.3, 0.1, 0.2, np.nan], [0.5, 0.2, 0.4, 0.1]])
    ceiling = np.array([[0.6, 0.0, 0.5, np.nan], [np.nan, np.nan, 0.3, np.nan]])
    found = _normalised_r(r, ceiling, np.array([True, True, True, True]))
    # Stories without a ceiling don't count; a ceiling of 0 has no share; 0.2 + 0.4 of 0.5 + 0.3.
    np.testing.assert_allclose(found, [0.5, np.nan, 0.75, np.nan])
    assert np.isnan(_normalised_r(r, ceiling, np.zeros(4, dtype=bool))).all()


@pytest.mark.parametrize("noise_sd", [1.0, 2.0])
def test_a_prediction_that_knows_half_of_the_signal_reaches_its_part_of_the_ceiling(noise_sd):
    signal, repeats = planted(noise_sd, 4)
    half = signal + np.random.default_rng(1).standard_normal(signal.shape)
    r = correlation(half, repeats.mean(axis=0))
    share = _normalised_r(r[None], ceiling_of(repeats)[None], reliable(repeats))
    assert np.nanmean(share) == pytest.approx(np.sqrt(0.5), abs=0.01)  # whatever the noise


def test_reliable_voxels_are_those_with_signal():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 300, 4000))
    assert reliable(noise).mean() == pytest.approx(0.001, abs=0.0015)
    assert reliable(noise + 0.7 * rng.standard_normal((300, 4000))).mean() > 0.99


def test_the_reliability_test_is_an_analysis_of_variance():
    from scipy import stats

    _, repeats = planted(1.8, 4, n_trs=30, n_voxels=60)
    repeats = repeats - repeats.mean(axis=1, keepdims=True)
    expected = []
    for voxel in range(60):
        y = repeats[:, :, voxel]
        between = 4 * (y.mean(axis=0) ** 2).sum() / 29
        within = ((y - y.mean(axis=0)) ** 2).sum() / (3 * 29)
        expected.append(stats.f.sf(between / within, 29, 3 * 29) < 0.001)
    assert reliable(repeats).tolist() == expected
    assert 0 < sum(expected) < 60
