"""Banded ridge from sums against himalaya's, and on planted data."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qaemb.encoding.ridge import FeatureMoments, TargetMoments
from qaemb.encoding.ridge_cv import ridge_cv
from qaemb.encoding.solvers import _band_candidates, _fit_himalaya, _fit_himalaya_bands, _Problem, _search_bands

ALPHAS = np.logspace(0, 4, 5)
EACH = ((0,), (1,), (2,))
N_ROWS, SIZES = 240, (4, 20)


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ten targets follow the four columns of the first band, ten the twenty of the second, ten nothing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N_ROWS, sum(SIZES)))
    weights = np.zeros((sum(SIZES), 30))
    weights[:4, :10] = rng.standard_normal((4, 10))
    weights[4:, 10:20] = rng.standard_normal((20, 10)) / 3
    y = x @ weights + 2 * rng.standard_normal((N_ROWS, 30))
    return x - x.mean(axis=0), y - y.mean(axis=0), np.repeat([0, 1, 2], N_ROWS // 3)


def searched(x, y, fold, candidates):
    moments = FeatureMoments.of_rows([(x, fold)], 3, x.shape[1])
    targets = TargetMoments.of_rows([(x, y, fold)], (3, x.shape[1], y.shape[1]))
    search = _search_bands(moments, targets, EACH, candidates, ALPHAS)
    return search, search.fit(targets, slice(0, y.shape[1]))


def splits(fold):
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(3)]


@pytest.mark.parametrize(("backend", "sizes", "n_delays"), [("numpy", SIZES, 1), ("torch", (4, 8), 2)])
def test_bands_are_himalayas(backend, sizes, n_delays, monkeypatch):
    monkeypatch.setattr("qaemb.encoding.solvers.AT_ONCE", 7)
    x, y, fold = problem()
    candidates = _band_candidates(sizes, n_delays, 6, seed=0)
    search, found = searched(x, y, fold, candidates)
    peer = _fit_himalaya_bands(_Problem(x, splits(fold), ALPHAS), y, candidates, backend)
    np.testing.assert_array_equal(found.bands, peer.bands)
    assert len(set(search.best)) > 3
    np.testing.assert_allclose(found.alpha, peer.alpha, rtol=1e-6)
    np.testing.assert_allclose(found.r, peer.r, atol=1e-9)
    np.testing.assert_allclose(found.weights, peer.weights, atol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_one_penalty_for_all_is_himalayas(backend):
    x, y, fold = problem()
    ours = ridge_cv(x, y, fold, ALPHAS, precision="float64")
    peer = _fit_himalaya(_Problem(x, splits(fold), ALPHAS), y, backend)
    np.testing.assert_allclose(peer.alpha, ours.alpha)
    np.testing.assert_allclose(peer.r, ours.r, atol=1e-9)
    np.testing.assert_allclose(peer.weights, ours.weights, atol=1e-8)


def test_equal_bands_alone_are_plain_ridge():
    x, y, fold = problem()
    candidates = _band_candidates(SIZES, 1, 0, seed=0)
    assert candidates.gammas[0].tolist() == [1.0, 1.0]
    alone = type(candidates)(candidates.gammas[:1], candidates.band_of)
    _, found = searched(x, y, fold, alone)
    plain = ridge_cv(x, y, fold, ALPHAS, precision="float64")
    np.testing.assert_allclose(found.weights, plain.weights, atol=1e-10)
    np.testing.assert_array_equal(found.alpha, plain.alpha)


def test_targets_lean_on_the_band_that_drives_them_and_gain_on_new_rows():
    x, y, fold = problem()
    candidates = _band_candidates(SIZES, 1, 20, seed=0)
    search, found = searched(x, y, fold, candidates)
    share = candidates.gammas[search.best, 0] / 2
    assert np.median(share[:10]) > 0.8
    assert np.median(share[10:20]) < 0.2
    plain = ridge_cv(x, y, fold, ALPHAS, precision="float64")
    assert (found.r >= plain.r - 1e-6).all()
    rng = np.random.default_rng(0)
    rng.standard_normal((N_ROWS, sum(SIZES)))  # the same draws as in `problem`, up to the weights
    truth = np.zeros((sum(SIZES), 30))
    truth[:4, :10] = rng.standard_normal((4, 10))
    truth[4:, 10:20] = rng.standard_normal((20, 10)) / 3
    errors = [((own.weights - truth)[:, :20] ** 2).sum() for own in (found, plain)]
    assert errors[0] < 0.8 * errors[1]


def test_columns_belong_to_the_band_of_their_feature_in_every_delay():
    candidates = _band_candidates((1, 2), 3, 2, seed=0)
    assert candidates.band_of.tolist() == [0, 1, 1] * 3
    np.testing.assert_allclose(candidates.gammas.mean(axis=1), 1.0)
    assert len(candidates.gammas) == 1 + 2 + 2


def test_a_back_end_that_does_not_start_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    # In a process of its own: himalaya skips the running test where it finds pytest and no CUDA.
    code = "from qaemb.encoding.solvers import _open_backend; _open_backend('torch_cuda')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "BadParameter: encode.backend: torch_cuda does not start here" in done.stderr
