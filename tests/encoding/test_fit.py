from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qaemb.encoding.fit import _fit_block, _fit_blocks
from qaemb.encoding.jackknife import jackknife_r
from qaemb.encoding.plan import plan_fit
from qaemb.encoding.recording import delayed, open_recordings
from qaemb.encoding.scores import correlation
from qaemb.encoding.solvers import plain_solver
from qaemb.features.space import Space


def fit_block(recording, plan, settings, voxels):
    return _fit_block(recording, plain_solver(plan, settings), settings, recording.read(voxels, settings.precision))


def fitted(world, voxels=slice(0, 30), precision="float64", **changes):
    settings = world.encode_settings(precision=precision, **changes)
    (recording,) = open_recordings(["S1"], world.space, world.stories, settings.delays, world.responses)
    return recording, fit_block(recording, plan_fit(recording, settings), settings, voxels), settings


@pytest.mark.parametrize("protocol", ["strict", "reference"])
def test_a_block_is_what_plain_ridge_gives(world, protocol):
    recording, block, settings = fitted(world, protocol=protocol)
    part_of = plan_fit(recording, settings).partition.part_of
    x = {story: delayed(values, (1, 2)) for story, values in {**recording.train, **recording.test}.items()}
    y = recording.read(slice(0, 30)).responses
    design, targets = (np.vstack([own[story] for story in recording.train]) for own in (x, y))
    parts = np.concatenate([part_of[story] for story in recording.train])

    def weights(rows, alpha, voxel):
        gram = design[rows].T @ design[rows] + alpha * np.eye(12)
        return np.linalg.solve(gram, design[rows].T @ targets[rows, voxel])

    for voxel in (0, 5, 25):
        held = (0, 1, 2) if protocol == "strict" else (1,)
        mean_r = [
            np.mean(
                [
                    np.corrcoef(design[parts == p] @ weights(parts != p, alpha, voxel), targets[parts == p, voxel])[
                        0, 1
                    ]
                    for p in held
                ]
            )
            for alpha in settings.alphas
        ]
        alpha = settings.alphas[int(np.argmax(mean_r))]
        assert block.alpha[voxel] == alpha
        own = weights(parts >= 0, alpha, voxel)
        np.testing.assert_allclose(block.weights[:, voxel], own, atol=1e-6)
        for i, story in enumerate(recording.test):
            expected = np.corrcoef(x[story] @ own, y[story][:, voxel])[0, 1]
            assert block.r[i, voxel] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("protocol", ["strict", "reference"])
def test_float32_moves_scores_by_less_than_a_hundred_thousandth(world, protocol):
    # Every feature twice, and their sum: with delays, 26 columns of rank 12.
    raw = {story: np.hstack([v, v, v.sum(axis=1, keepdims=True)]) for story, v in world.space.values.items()}
    space = Space([f"q{i}" for i in range(13)], raw)
    fits = {}
    for precision in ("float64", "float32"):
        settings = world.encode_settings(precision=precision, protocol=protocol)
        (recording,) = open_recordings(["S1"], space, world.stories, settings.delays, world.responses)
        fits[precision] = fit_block(recording, plan_fit(recording, settings), settings, slice(0, 30))
    exact, fast = fits["float64"], fits["float32"]
    np.testing.assert_array_equal(fast.alpha, exact.alpha)
    assert len(set(exact.alpha[np.isfinite(exact.alpha)])) > 2
    np.testing.assert_allclose(fast.r, exact.r, atol=1e-5)
    np.testing.assert_allclose(fast.predicted, exact.predicted, atol=1e-4)


def test_all_blocks_in_any_number_of_threads_are_the_blocks_alone(world, monkeypatch):
    monkeypatch.setattr("qaemb.encoding.fit.AT_ONCE", 4)
    _, whole, _ = fitted(world)
    for threads, voxel_block in ((1, 30), (3, 7)):
        settings = world.encode_settings(precision="float64", threads=threads, voxel_block=voxel_block)
        (recording,) = open_recordings(["S1"], world.space, world.stories, settings.delays, world.responses)
        blocks = list(_fit_blocks(recording, plain_solver(plan_fit(recording, settings), settings), settings))
        assert [block.voxels.start for block in blocks] == sorted(block.voxels.start for block in blocks)
        assert sum(block.voxels.stop - block.voxels.start for block in blocks) == 30
        for name in ("r", "ceiling", "alpha", "weights", "p"):
            joined = np.concatenate([getattr(block, name) for block in blocks], axis=-1)
            np.testing.assert_allclose(joined, getattr(whole, name), atol=1e-6)


def test_test_rows_do_not_move_the_model(world):
    recording, block, settings = fitted(world)
    other = replace(recording, test={"x": recording.test["x"] * 5})
    again = fit_block(other, plan_fit(other, settings), settings, slice(0, 30))
    kept = np.isfinite(block.alpha)
    np.testing.assert_array_equal(again.alpha[kept], block.alpha[kept])
    np.testing.assert_array_equal(again.weights[:, kept], block.weights[:, kept])


def test_signal_is_found_and_noise_is_not(world):
    _, block, _ = fitted(world)
    r = block.r.mean(axis=0)
    signal = np.setdiff1d(np.arange(20), [world.nan_voxel, world.flat_voxel])
    assert r[signal].min() > 0.5
    assert abs(r[world.noise_voxels].mean()) < 0.1
    assert (r[signal] < block.ceiling[0][signal] + 0.1).all()
    assert (block.p[signal] == 1 / 201).all()
    assert (block.p[world.noise_voxels] > 0.05).sum() >= 8


def test_predictions_and_what_is_left_out_belong_to_the_scores(world):
    recording, block, settings = fitted(world)
    y = recording.read(slice(0, 30)).responses
    kept = np.isfinite(block.alpha)
    edges = np.cumsum([len(own) for own in recording.test.values()])[:-1]
    predicted = np.split(block.predicted[:, kept], edges)
    for i, story in enumerate(recording.test):
        np.testing.assert_allclose(correlation(predicted[i], y[story][:, kept]), block.r[i, kept], atol=1e-6)
    score = jackknife_r(predicted, [y[story][:, kept] for story in recording.test], settings.block_trs)
    np.testing.assert_allclose(block.left_out, score.left_out.sum(axis=1), atol=1e-5)


def test_without_permutations_nothing_is_tested(world):
    _, block, _ = fitted(world, n_permutations=0)
    assert np.isnan(block.p).all()
    assert np.isfinite(block.left_out).all()


def test_a_block_without_a_score_adds_nothing(world):
    _, block, _ = fitted(world, slice(world.nan_voxel, world.nan_voxel + 1))
    assert np.isnan(block.p).all()
    assert (block.left_out == 0).all()


def test_voxels_without_a_score_are_nan_everywhere(world):
    _, block, _ = fitted(world)
    blank = np.flatnonzero(np.isnan(block.r).any(axis=0))
    assert blank.tolist() == [world.nan_voxel, world.flat_voxel]
    for values in (block.r, block.ceiling, block.alpha, block.weights, block.predicted, block.p):
        assert np.isnan(values[..., blank]).all()
    assert not block.reliable[blank].any()


def test_blocks_of_any_size_give_the_same(world):
    _, whole, _ = fitted(world)
    parts = [fitted(world, voxels)[1] for voxels in (slice(0, 11), slice(11, 12), slice(12, 30))]
    for name in ("r", "ceiling", "alpha", "weights", "predicted", "p"):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        np.testing.assert_allclose(joined, getattr(whole, name), atol=1e-6)
    np.testing.assert_allclose(sum(part.left_out for part in parts), whole.left_out, atol=1e-8)


def test_more_columns_than_rows_change_nothing_but_the_work(world):
    rng = np.random.default_rng(0)
    wide = {
        s: np.hstack([v, rng.standard_normal((len(v), 250))]).astype(np.float32) for s, v in world.space.values.items()
    }
    settings = world.encode_settings()
    space = type(world.space)([f"f{i}" for i in range(256)], wide)
    (recording,) = open_recordings(["S1"], space, world.stories, [1, 2], world.responses)
    plan = plan_fit(recording, settings)
    assert plan.basis is not None
    block = fit_block(recording, plan, settings, slice(0, 3))
    design = np.vstack([own for _, own in recording.designs()])
    y = recording.read(slice(0, 3)).responses
    targets = np.vstack([y[story] for story in recording.train])
    for voxel in range(3):
        gram = design.T @ design + block.alpha[voxel] * np.eye(512)
        expected = np.linalg.solve(gram, design.T @ targets[:, voxel])
        np.testing.assert_allclose(block.weights[:, voxel], expected, atol=1e-6)


def test_ceilings_are_those_of_the_stories_with_repeats(world):
    recording, block, _ = fitted(world)
    assert list(recording.test) == ["x", "y"]
    assert np.isfinite(block.ceiling[0][: world.nan_voxel]).all()
    assert np.isnan(block.ceiling[1]).all()
    assert block.reliable[: world.nan_voxel].all()
