"""The tables of docs/statistics.md from fewer simulations; QAEMB_SIMULATIONS=5 and `pytest -s` print the page's."""

from __future__ import annotations

import os

import numpy as np
import pytest

from qaemb.encoding.jackknife import Jackknife, confidence, jackknife_r, paired_difference
from qaemb.encoding.scores import p_values

from .planted import Planted, ar, within
from .rivals import bootstrap_difference_p, intervals, permuted_blocks_p

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(3000)]

ROWS = (100, 300)
RHYTHMS = [(0.8, 0.8), (0.8, 0.4), (0.4, 0.8), (0.4, 0.4)]  # AR(1) of signal and noise
TOO_SLOW = [(0.9, 0.8), (0.95, 0.9)]  # slower than a BOLD response at 2 s
MORE = int(os.environ.get("QAEMB_SIMULATIONS", "1"))
N_OURS, N_RIVALS = 200 * MORE, 60 * MORE


def over_voxels(score: Jackknife) -> Jackknife:
    return Jackknife(score.value.mean(), score.left_out.mean(axis=1), score.story)


def held(found: list[tuple[float, float]], truth: float) -> float:
    low, high = np.array(found).T
    return float(((low <= truth) & (truth <= high)).mean())


def simulate(world: Planted, n: int) -> dict[str, list[tuple[float, float]]]:
    """Return the intervals of `n` worlds for r of A and for A - B, and the scores themselves."""
    rng = np.random.default_rng(1)
    found: dict[str, list] = {"r": [], "difference": [], "r measured": [], "difference measured": []}
    for _ in range(n):
        a, b, measured = world.draw(rng)
        of_a, of_b = (over_voxels(jackknife_r(own, measured, 25)) for own in (a, b))
        for name, score in (("r", of_a), ("difference", paired_difference(of_a, of_b))):
            own = confidence(score)
            found[name].append((float(own.low), float(own.high)))
            found[f"{name} measured"].append(float(score.value))
    return found


def coverages(world: Planted) -> dict[str, tuple[float, float]]:
    """Print and return how often r and the difference of endless stories, and of short ones, were held."""
    found = simulate(world, N_OURS)
    rates = {}
    for name, truth in (("r", world.true_a.mean()), ("difference", (world.true_a - world.true_b).mean())):
        measured = found[f"{name} measured"]
        rates[name] = held(found[name], truth), held(found[name], float(np.mean(measured)))
        width = np.mean(np.ptp(found[name], axis=1)) / np.std(measured)
        where = f"{world.signal} {world.noise} {world.n_stories} x {world.n_rows}"
        print(f"\n{where} {name} {truth:.4f}: {rates[name][0]:.3f}, mean of short {rates[name][1]:.3f}, {width:.2f} sd")
    return rates


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize("n_stories", [1, 2])
@pytest.mark.parametrize(("signal", "noise"), RHYTHMS)
def test_intervals_hold_the_truth(signal, noise, n_stories, n_rows):
    for endless, short in coverages(Planted(signal, noise, n_rows, n_stories=n_stories)).values():
        assert 0.9 < endless < 0.985
        assert 0.9 < short < 0.995


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize(("signal", "noise"), TOO_SLOW)
def test_intervals_of_very_slow_signals_hold_the_mean_of_short_stories(signal, noise, n_rows):
    for _, short in coverages(Planted(signal, noise, n_rows)).values():
        assert 0.87 < short < 0.99


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize(("signal", "noise"), [(0.8, 0.8), (0.8, 0.4), (0.4, 0.4)])
def test_rivals_hold_it_less_often_where_signals_are_slow(signal, noise, n_rows):
    world, rng = Planted(signal, noise, n_rows), np.random.default_rng(1)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(N_RIVALS):
        a, _, measured = world.draw(rng)
        for name, own in intervals(a, measured, seed).items():
            found.setdefault(name, []).append(own)
    rates = {name: held(own, world.true_a.mean()) for name, own in found.items()}
    for name, rate in rates.items():
        print(f"\n{signal} {noise} {n_rows} {name}: {rate:.3f}")
    if signal == 0.8 and n_rows == 100:
        assert max(rates.values()) < 0.92


@pytest.mark.parametrize("n_rows", ROWS)
@pytest.mark.parametrize(("of_p", "of_m"), [(0.4, 0.4), (0.8, 0.4), (0.8, 0.8), (0.9, 0.8)])
def test_surrogates_reject_at_the_nominal_rate_and_shuffled_blocks_too_often(of_p, of_m, n_rows):
    rng, n = np.random.default_rng(0), 1200 * MORE
    p, m = ([ar(rng, phi, n_rows, n) for _ in range(2)] for phi in (of_p, of_m))
    ours, shuffled = p_values(p, m, 1000, 0), permuted_blocks_p(p, m, 10, 0)
    for nominal in (0.05, 0.01):
        rates = ((own <= nominal).mean() for own in (ours, shuffled))
        print(f"\n{of_p} {of_m} {n_rows} at {nominal}: surrogates {next(rates):.4f}, shuffled blocks {next(rates):.4f}")
    assert within((ours <= 0.05).mean(), 0.05, n)
    if of_p * of_m > 0.6:
        assert (shuffled <= 0.05).mean() > 1.15 * (ours <= 0.05).mean()


def test_a_drift_in_predictions_and_responses_is_not_told_from_signal():
    """What the page warns of: a straight line of a random slope in each, as large as the rest at its ends."""
    rng, n = np.random.default_rng(0), 1200 * MORE
    line = np.linspace(-1, 1, 300)[:, None]
    p, m = ([ar(rng, phi, 300, n) + line * rng.standard_normal(n) for _ in range(2)] for phi in (0.8, 0.6))
    rate = (p_values(p, m, 1000, 0) <= 0.05).mean()
    print(f"\nwith a drift: {rate:.3f}")
    assert rate > 0.1


@pytest.mark.parametrize("n_rows", ROWS)
def test_models_that_are_alike_differ_at_the_nominal_rate(n_rows):
    rng, n, few = np.random.default_rng(0), 20_000, slice(0, 1200 * MORE)
    for of_a, of_b, of_noise in ((0.8, 0.8, 0.6), (0.8, 0.4, 0.6), (0.6, 0.6, 0.8)):
        a, b = ([ar(rng, phi, n_rows, n) for _ in range(2)] for phi in (of_a, of_b))
        measured = [0.35 * (x + y) + ar(rng, of_noise, n_rows, n) for x, y in zip(a, b, strict=True)]
        p = confidence(paired_difference(jackknife_r(a, measured, 25), jackknife_r(b, measured, 25))).p
        rates = [(p < nominal).mean() for nominal in (0.05, 0.01, 0.001)]
        drawn = bootstrap_difference_p(*([own[:, few] for own in part] for part in (a, b, measured)), 25, 0)
        print(f"\n{of_a} {of_b} {of_noise} {n_rows}: jackknife {rates}, bootstrap {(drawn < 0.05).mean():.4f}")
        assert 0.04 < rates[0] < 0.06
        assert rates[1] < 0.015
        assert (drawn < 0.05).mean() > 0.06
