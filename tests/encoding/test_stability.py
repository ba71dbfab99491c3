"""Half-samples and what they say of weights: exact on plain means, right on planted signals."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from qaemb.encoding.recording import Recording, ResponseFile, delayed
from qaemb.encoding.stability import Drivers, _deal_stories, _delay_mean, _half_samples, plan_resamples
from qaemb.errors import BadInput

from .planted import ar

DELAYS = (1, 2)
N_VOXELS = 12
# Feature 0 raises and 1 lowers responses; 2 and 3 are one feature twice; 4 and 5 are noise; 6 never varies.
WEIGHTS = np.array([1.0, -1.0, 0.5, 0.5, 0.0, 0.0, 0.0])


def record(folder, seed=0, n_stories=8, n_rows=100) -> Recording:
    rng = np.random.default_rng(seed)
    features = {f"s{i}": ar(rng, 0.6, n_rows + 3 * i, len(WEIGHTS)) for i in range(n_stories + 1)}
    path = folder / f"{seed}.h5"
    with h5py.File(path, "w") as file:
        for story, values in features.items():
            values[:, 3], values[:, 6] = values[:, 2], 0.0
            signal = delayed(values, [1]) @ np.tile(WEIGHTS[:, None], N_VOXELS)
            file[f"data/{story}"] = (signal + 3 * ar(rng, 0.4, len(values), N_VOXELS)).astype(np.float32)
    test = {"s0": features.pop("s0")}
    return Recording("S", features, test, DELAYS, ResponseFile(path))


def drive(recording, alpha=20.0, top_k=3, n_groups=8):
    """Return the stability of all voxels, the means over them and over the first three, and X'Y and the plan."""
    plan = plan_resamples(recording, n_groups, 0)
    responses = recording.read(slice(0, N_VOXELS)).responses
    xy = plan.partition.targets(recording.designs(), responses).xy
    drivers = Drivers(plan, len(DELAYS), recording.n_features, 2, top_k)
    member = np.stack([np.ones(N_VOXELS), np.arange(N_VOXELS) < 3], axis=1)
    for own in (slice(0, 5), slice(5, N_VOXELS)):
        parts = drivers.add(xy[:, :, own], np.full(own.stop - own.start, alpha), member[own])
    return parts, drivers.means(member.sum(axis=0)), xy, plan


@pytest.mark.parametrize("n_groups", [2, 4, 8, 16])
def test_half_samples_are_balanced(n_groups):
    halves = _half_samples(n_groups)
    assert halves.shape == (2 * (n_groups - 1), n_groups)
    np.testing.assert_array_equal(halves.sum(axis=1), n_groups // 2)
    np.testing.assert_array_equal(halves[0::2], ~halves[1::2])
    signs = np.where(halves[0::2], 1, -1)
    np.testing.assert_array_equal(signs @ signs.T, n_groups * np.eye(n_groups - 1))


def test_the_differences_of_halves_give_the_variance_of_a_mean_exactly():
    values = np.random.default_rng(0).standard_normal(16)
    halves = _half_samples(16)
    means = np.array([values[half].mean() for half in halves])
    variance = np.mean(((means[0::2] - means[1::2]) / 2) ** 2)
    assert variance == pytest.approx(values.var(ddof=1) / 16)


def test_stories_are_dealt_evenly_into_as_many_groups_as_they_fill():
    rows = {f"s{i}": 50 + 10 * i for i in range(21)}
    group_of = _deal_stories(rows, 8, 0)
    filled = [sum(rows[story] for story in rows if group_of[story] == group) for group in range(8)]
    assert max(filled) - min(filled) <= max(rows.values())
    assert list(group_of) == list(rows)
    assert group_of != _deal_stories(rows, 8, 1)
    assert set(_deal_stories(dict.fromkeys("abcde", 10), 8, 0).values()) == set(range(4))
    with pytest.raises(BadInput, match="1 train story can't be resampled; add train stories"):
        _deal_stories({"a": 5}, 8, 0)


@pytest.mark.parametrize(("n_stories", "n_rows"), [(8, 40), (3, 4)], ids=["more rows than columns", "fewer"])
def test_weights_of_every_half_are_those_of_a_ridge_on_its_stories(tmp_path, n_stories, n_rows):
    recording = record(tmp_path, n_stories=n_stories, n_rows=n_rows)
    plan = plan_resamples(recording, 8, 0)
    responses = recording.read(slice(0, N_VOXELS)).responses
    xy = plan.partition.targets(recording.designs(), responses).xy
    n_total = sum(recording.train_rows().values())
    for half in (*plan.halves, None):
        groups = range(plan.partition.n_parts) if half is None else half.groups
        stories = [s for s in recording.train if plan.partition.part_of[s][0] in groups]
        x = np.vstack([design for story, design in recording.designs() if story in stories])
        y = np.vstack([responses[story] for story in stories])
        share = len(x) / n_total
        spectrum = plan.full if half is None else half.spectrum
        found = spectrum.weights(xy[list(groups)].sum(axis=0), np.full(N_VOXELS, 20.0 * share))
        expected = Ridge(20.0 * share, fit_intercept=False, solver="svd").fit(x, y).coef_.T
        np.testing.assert_allclose(found, expected, atol=1e-8)
        assert half is None or half.share == pytest.approx(share)


def test_stability_is_counted_over_the_halves(tmp_path):
    recording = record(tmp_path)
    found, means, xy, plan = drive(recording)
    xy = xy[:, :, 5:]
    alphas = np.full(xy.shape[2], 20.0)
    weight = _delay_mean(plan.full.weights(xy.sum(axis=0), alphas), 2)
    halves = np.stack(
        [_delay_mean(h.spectrum.weights(xy[h.groups].sum(axis=0), alphas * h.share), 2) for h in plan.halves]
    )
    np.testing.assert_allclose(found.weight, weight, atol=1e-12)
    np.testing.assert_allclose(found.same_sign[:6], (halves * weight > 0).mean(axis=0)[:6])
    ranks = stats.rankdata(-np.abs(halves), axis=1, method="min")
    np.testing.assert_allclose(found.in_top[:6], (ranks <= 3).mean(axis=0)[:6])
    errors = np.sqrt(np.mean(((halves[0::2] - halves[1::2]) / 2) ** 2, axis=0))
    np.testing.assert_allclose(found.reach, stats.t.ppf(0.975, 7) * errors, atol=1e-12)
    assert means.weight.shape == (7, 2)


def test_planted_signs_are_found_and_stable(tmp_path):
    found, means, *_ = drive(record(tmp_path))
    assert (found.weight[0] > 0).all()
    assert (found.weight[1] < 0).all()
    assert found.same_sign[:2].min() > 0.9
    assert found.in_top[:2].min() > 0.8
    for scope in (0, 1):
        assert means.weight[0, scope] - means.weight_reach[0, scope] > 0
        assert means.weight[1, scope] + means.weight_reach[1, scope] < 0
        assert (means.importance[:4, scope] - means.importance_reach[:4, scope] > 0).all()
    np.testing.assert_allclose(means.weight[2], means.weight[3], atol=1e-9)  # copies share their weight
    assert (found.weight[6] == 0).all()
    assert (found.in_top[6] == 0).all()
    assert (found.same_sign[6] == 0).all()


def test_intervals_of_noise_hold_0_and_its_signs_are_as_stable_as_expected(tmp_path):
    covered, same_sign = [], []
    for seed in range(40):
        _, means, *_ = drive(record(tmp_path, seed, n_rows=60))
        for value, reach in ((means.weight, means.weight_reach), (means.importance, means.importance_reach)):
            covered.append(np.abs(value[4:6, 0]) <= reach[4:6, 0])
        same_sign.append(means.same_sign[4:6, 0])
    assert np.mean(covered) > 0.88
    assert np.mean(same_sign) == pytest.approx(0.75, abs=0.04)
