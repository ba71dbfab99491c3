"""The encoding benchmark's ways to fit agree on a tiny problem, and its headline and tables follow from the figures."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.encoding.__main__ import headline, ratio
from benchmarks.encoding.full_size import fit, write_responses
from benchmarks.encoding.parts import measure
from benchmarks.encoding.peers import PEERS, Problem
from benchmarks.encoding.problems import Size, write_problem
from benchmarks.encoding.table import tables

SIZE = Size(400, 8, 60, 5)


@pytest.fixture(scope="module")
def problem(tmp_path_factory) -> Problem:
    folder = tmp_path_factory.mktemp("problem")
    write_problem(SIZE, folder)
    return Problem(*(np.load(folder / f"{name}.npy") for name in ("x", "y", "fold")))


def test_problems_have_the_size_they_say_and_signal(problem):
    assert problem.x.shape == (400, 32)
    assert problem.y.shape == (400, 60)
    assert set(problem.fold) == set(range(5))
    found = PEERS["svd_float64"](problem)
    assert found.r[np.arange(60) % 5 > 0].mean() > 0.2
    assert abs(found.r[::5].mean()) < 0.1


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer != "svd_float64"])
def test_every_way_fits_the_same_models(problem, peer):
    oracle, found = PEERS["svd_float64"](problem), PEERS[peer](problem)
    np.testing.assert_allclose(found.alpha, oracle.alpha, rtol=1e-4)
    np.testing.assert_allclose(found.r, oracle.r, atol=1e-5)
    np.testing.assert_allclose(problem.x @ found.weights, problem.x @ oracle.weights, atol=1e-3)


def test_the_full_size_runs_from_the_disk(tmp_path):
    size = Size(400, 8, 60, 5)
    write_responses(size, tmp_path / "responses.h5")
    found = fit(size, tmp_path)
    assert found["mean_r_signal"] > 0.2 > abs(found["mean_r_noise"])
    assert found["seconds"] > found["plan_seconds"] > 0


def test_the_parts_of_a_fit_are_all_there():
    found = measure(SIZE)
    assert len(found) == 6
    assert all(found[name] > 0 for name in ("products of the features", "eigenbases", "refit"))


def test_headline_and_tables_hold_the_figures_at_their_place():
    def own(seconds, dr):
        return {"seconds": seconds, "peak_gib": 1.0, "max_abs_dr": dr, "max_abs_dr_test": dr / 2, "same_alpha": 1.0}

    small = {peer: own([1.0, 1.0], 1e-7) for peer in PEERS}
    large = {peer: own([8.0, 20.0], 1e-6) for peer in PEERS}
    large |= {"qaemb": own([2.0, 4.0], 3e-6), "himalaya_torch": own([6.0, 8.0], 1e-6)}
    full = {"size": "1x2x3", "seconds": 120.0, "plan_seconds": 30.0, "peak_gib": 5.0}
    figures = {"sizes": {"small": small, "large": large}, "full_size": full}
    found = headline(figures)
    assert ratio(large, "himalaya_torch") == 2.5
    assert (found["over_himalaya"], found["over_bootstrap_svd"]) == (2.5, 4.5)
    assert (found["max_abs_dr"], found["full_size_minutes"]) == (3e-6, 2.0)
    text = tables(figures)
    assert "| himalaya RidgeCV, torch | 7.0 | 2.5 | 1.0 | 1e-06 | 100.0 % |" in text
    assert "1x2x3: 2.0 minutes, 5.0 GiB" in text
