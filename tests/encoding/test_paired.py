from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.compare import PairedBlock, compare_voxels
from qaemb.encoding.jackknife import Jackknife, confidence, jackknife_r, paired_difference
from qaemb.encoding.scores import correlation

from .planted import ar

ROWS = (150, 130)


def planted(seed: int, n: int = 300, better: int = 60):
    """A knows both signals of the first voxels, B one; in the rest they predict equally well."""
    rng = np.random.default_rng(seed)
    a, b, measured = [], [], []
    for n_rows in ROWS:
        x, y, own = (ar(rng, 0.7, n_rows, n) for _ in range(3))
        m = 0.5 * (x + y) + ar(rng, 0.6, n_rows, n)
        m[:, :better] += 0.8 * x[:, :better]
        y[:, :better] = 0.3 * y[:, :better] + own[:, :better]
        a.append(x)
        b.append(y)
        measured.append(m)
    return a, b, measured


def blocks(a, b, measured, size):
    for start in range(0, measured[0].shape[1], size):
        own = slice(start, start + size)
        yield PairedBlock(*([values[:, own] for values in part] for part in (a, b, measured)))


def test_blocks_of_any_size_give_what_the_whole_gives():
    a, b, measured = planted(0)
    found = compare_voxels(blocks(a, b, measured, 128), ROWS, 25)
    of_a, of_b = jackknife_r(a, measured, 25), jackknife_r(b, measured, 25)
    difference = paired_difference(of_a, of_b)
    voxels = confidence(difference)
    np.testing.assert_allclose(found.r_a, np.mean([correlation(*own) for own in zip(a, measured, strict=True)], axis=0))
    for name in ("low", "high", "p"):
        np.testing.assert_allclose(getattr(found.voxels, name), getattr(voxels, name))
    mean = confidence(Jackknife(difference.value.mean(), difference.left_out.mean(axis=1), difference.story))
    assert found.mean == pytest.approx(difference.value.mean())
    assert found.mean_interval.low == pytest.approx(mean.low)
    assert found.mean_interval.p == pytest.approx(mean.p)


def test_better_voxels_are_found_and_false_ones_are_rare():
    """A fifth of the voxels: r of A about .75, of B .1; two stories of 150 and 130 TRs."""
    power, false = [], []
    for seed in range(20):
        a, b, measured = planted(seed)
        found = compare_voxels(blocks(a, b, measured, 300), ROWS, 25)
        called = found.q < 0.05
        power.append((called & (found.r_a > found.r_b))[:60].mean())
        false.append((called[60:].sum() + (called & (found.r_b > found.r_a))[:60].sum()) / max(called.sum(), 1))
        assert found.n_a_better + found.n_b_better == called.sum()
    assert np.mean(power) > 0.8
    assert np.mean(false) < 0.05


def test_the_other_way_round_is_the_mirror():
    a, b, measured = planted(1)
    one, other = (compare_voxels(blocks(*own, measured, 300), ROWS, 25) for own in ((a, b), (b, a)))
    np.testing.assert_allclose(one.voxels.low, -other.voxels.high)
    np.testing.assert_allclose(one.q, other.q)
    assert (one.n_a_better, one.n_b_better) == (other.n_b_better, other.n_a_better)
    assert one.mean == pytest.approx(-other.mean)


def test_a_model_does_not_differ_from_itself():
    a, _, measured = planted(2)
    found = compare_voxels(blocks(a, a, measured, 300), ROWS, 25)
    assert (found.voxels.p == 1).all()
    assert (found.n_a_better, found.n_b_better, found.mean) == (0, 0, 0.0)
