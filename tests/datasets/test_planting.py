import math

import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf

from qaemb.datasets.miniature.planting import ar1_noise, n_scans, property_time_courses, scale_signals, zscore


@pytest.mark.parametrize(("seconds", "scans"), [(60.0, 40), (60.001, 41), (59.0, 40), (118.4, 70)])
def test_scans_of_a_sound(seconds, scans):
    assert n_scans(seconds) == scans


def test_a_word_reaches_the_row_of_its_time_and_then_the_blood():
    """A word in the middle of row 5 (11 + 2 * 5 s) gives the HRF from row 5 on, exactly."""
    rows = property_time_courses(np.array([21.0]), np.ones((1, 1)), 60)
    expected = np.zeros(40)
    expected[5:21] = spm_hrf(2.0, oversampling=1)
    np.testing.assert_allclose(rows[:, 0], expected, atol=1e-12)
    assert rows[:, 0].argmax() == 8


def test_time_courses_against_plain_loops():
    rng = np.random.default_rng(0)
    times, values, scans = np.sort(rng.uniform(0, 70, 90)), (rng.random((90, 3)) < 0.4).astype(float), 45
    tr_times = [2 * i - 10 + 1 for i in range(scans - 5)]
    neural = np.zeros((len(tr_times), 3))
    for i, tr_time in enumerate(tr_times):
        for time, value in zip(times, values, strict=True):
            t = (tr_time - time) * 0.5
            if t == 0:
                neural[i] += value
            elif abs(t) <= 3:
                neural[i] += value * 3 * math.sin(math.pi * t) * math.sin(math.pi * t / 3) / (math.pi * t) ** 2
    response = spm_hrf(2.0, oversampling=1)
    blood = np.zeros_like(neural)
    for i in range(len(neural)):
        for lag in range(min(i + 1, len(response))):
            blood[i] += response[lag] * neural[i - lag]
    expected = blood[10:-5]
    assert expected.shape == (scans - 20, 3)
    np.testing.assert_allclose(property_time_courses(times, values, scans), expected, atol=1e-12)


def test_signals_get_the_stated_variance_inside_runs():
    rng = np.random.default_rng(0)
    signals = [rng.normal(size=(n, 4)) * [1, 5, 0, 2] + offset for n, offset in ((30, 3), (50, -8))]
    wanted = np.array([0.5, 0.2, 0.5, 0.0])
    scaled = scale_signals(signals, wanted)
    pooled = sum(((run - run.mean(axis=0)) ** 2).sum(axis=0) for run in scaled) / 80
    np.testing.assert_allclose(pooled, [0.5, 0.2, 0.0, 0.0], atol=1e-12)


def test_noise_is_ar1_of_variance_one():
    noise = ar1_noise((4000, 20), 0.4, np.random.default_rng(0))
    assert noise.var() == pytest.approx(1, abs=0.02)
    assert noise[0].std() == pytest.approx(1, abs=0.4)
    lag1, lag2 = ((noise[:-k] * noise[k:]).mean() for k in (1, 2))
    assert (lag1, lag2) == (pytest.approx(0.4, abs=0.02), pytest.approx(0.16, abs=0.02))


def test_zscore():
    run = zscore(np.random.default_rng(0).normal(3, 7, (50, 4)))
    np.testing.assert_allclose(run.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(run.std(axis=0), 1, atol=1e-6)
