"""The elastic net's problem from sums over stories against the rows themselves, and scikit-learn on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import MultiTaskElasticNet

from qaemb.encoding.recording import delayed
from qaemb.selection import training
from qaemb.selection.elastic_net import solve_elastic_net
from qaemb.selection.training import _training_products

STORIES = ("a", "c", "d")  # S2 lacks b
MEMBERS = np.array([[True, True, True], [True, False, True]])


def rows(recordings, stories) -> tuple[np.ndarray, np.ndarray]:
    """Delayed features averaged over delays, and all voxels of both subjects, each subject scaled to norm 1."""
    designs = [delayed(recordings[0].train[story], [1, 2]) for story in stories]
    x = np.vstack([(own[:, :12] + own[:, 12:]) / 2 for own in designs])
    halves = [
        np.vstack([recording.read(slice(0, 24)).responses[story] for story in stories]) for recording in recordings
    ]
    return x, np.hstack([half / np.linalg.norm(half) for half in halves])


@pytest.mark.parametrize("cells", [2**25, 60])
def test_products_are_those_of_the_rows_of_each_set(world, cells, monkeypatch):
    monkeypatch.setattr(training, "_CELLS", cells)  # 60: one voxel at a time
    recordings = world.recordings()
    found = _training_products(recordings, MEMBERS, STORIES, 0.9, 10)
    for products, own in zip(found, (STORIES, ("a", "d")), strict=True):
        x, y = rows(recordings, own)
        cross = x.T @ y / len(x)
        np.testing.assert_allclose(products.gram, x.T @ x / len(x), atol=1e-10)
        np.testing.assert_allclose(products.cross @ products.cross.T, cross @ cross.T, atol=1e-12)
        assert products.cross.shape[1] <= 12


@pytest.mark.parametrize("share", [0.6, 0.3, 0.05])
def test_few_targets_give_scikit_learns_solution_over_all_voxels_of_the_fold(world, share):
    recordings = world.recordings()
    products = _training_products(recordings, MEMBERS, STORIES, 0.9, 10)[1]
    x, y = rows(recordings, ("a", "d"))
    alpha = share * products.largest_alpha()
    peer = MultiTaskElasticNet(alpha=alpha, l1_ratio=0.9, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = np.linalg.norm(peer.fit(x, y).coef_.T, axis=1)
    found = np.linalg.norm(solve_elastic_net(products, alpha), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max())
    np.testing.assert_array_equal(found > 0, expected > 0)


def test_test_rows_have_no_part(world):
    recordings = world.recordings()
    changed = [replace(recording, test={"x": recording.test["x"] * 7}) for recording in recordings]
    found, other = (_training_products(own, MEMBERS, STORIES, 0.9, 10)[0] for own in (recordings, changed))
    np.testing.assert_array_equal(found.cross, other.cross)
    np.testing.assert_array_equal(found.gram, other.gram)


def test_responses_that_never_vary_keep_no_question(world):
    recordings = [replace(world.recordings()[0], train={"a": np.zeros((70, 12))})]
    (products,) = _training_products(recordings, np.array([[True]]), ["a"], 0.9, 10)
    assert products.cross.shape == (12, 1)
    assert not solve_elastic_net(products, 1e-3).any()
