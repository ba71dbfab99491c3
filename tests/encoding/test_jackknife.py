from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from qaemb.encoding.jackknife import Jackknife, _block_starts, block_stories, confidence, jackknife_r, paired_difference
from qaemb.encoding.scores import correlation
from qaemb.errors import BadInput

from .planted import Planted, ar, within


def over_voxels(score: Jackknife) -> Jackknife:
    return Jackknife(score.value.mean(), score.left_out.mean(axis=1), score.story, score.key)


def test_blocks_are_about_as_long_as_asked_and_two_or_more():
    assert _block_starts(99, 25).tolist() == [0, 25, 50, 74]
    assert _block_starts(300, 25).tolist() == list(range(0, 300, 25))
    assert _block_starts(9, 25).tolist() == [0, 4]
    assert _block_starts(1, 25).tolist() == [0]
    assert block_stories([99, 9], 25).tolist() == [0, 0, 0, 0, 1, 1]


def test_what_is_left_out_is_left_out():
    rng = np.random.default_rng(0)
    m = [rng.standard_normal((n, 7)) + 3 for n in (43, 60)]
    p = [own + rng.standard_normal(own.shape) for own in m]
    score = jackknife_r(p, m, 20)

    def r(pairs):
        return np.mean([[np.corrcoef(a[:, v], b[:, v])[0, 1] for v in range(7)] for a, b in pairs], axis=0)

    np.testing.assert_allclose(score.value, r(zip(p, m, strict=True)))
    expected = []
    for story, cuts in ((0, [0, 22, 43]), (1, [0, 20, 40, 60])):
        for start, stop in itertools.pairwise(cuts):
            kept = np.delete(np.arange(len(m[story])), np.arange(start, stop))
            pairs = [(a[kept], b[kept]) if i == story else (a, b) for i, (a, b) in enumerate(zip(p, m, strict=True))]
            expected.append(r(pairs))
    np.testing.assert_allclose(score.left_out, expected)
    assert score.story.tolist() == [0, 0, 1, 1, 1]


def test_a_constant_prediction_stays_at_zero():
    m = np.random.default_rng(0).standard_normal((60, 3))
    score = jackknife_r([np.full((60, 3), 0.1)], [m], 20)
    assert (score.value == 0).all()
    assert (score.left_out == 0).all()
    found = confidence(score)
    assert (found.low == 0).all()
    assert (found.p == 1).all()


def test_a_voxel_that_varies_in_one_block_only_has_no_r_without_it():
    rng = np.random.default_rng(0)
    m = np.zeros((60, 1))
    m[25:35] = rng.standard_normal((10, 1))
    left_out = jackknife_r([rng.standard_normal((60, 1))], [m], 20).left_out[:, 0]
    assert left_out[1] == 0
    assert (left_out[[0, 2]] != 0).all()


def test_of_a_mean_of_single_rows_it_is_students_t():
    x = np.random.default_rng(0).standard_normal(12) + 0.5
    left_out = (x.sum() - x) / 11
    found = confidence(Jackknife(x.mean(), left_out, np.zeros(12, dtype=np.int64)))
    expected = stats.ttest_1samp(x, 0)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.p == pytest.approx(expected.pvalue)


def test_the_mean_of_two_stories_has_the_variance_of_both():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(8), 3 * rng.standard_normal(5) + 2
    value = (x.mean() + y.mean()) / 2
    left_out = np.concatenate(
        [((x.sum() - x) / 7 + y.mean()) / 2, (x.mean() + (y.sum() - y) / 4) / 2],
    )
    found = confidence(Jackknife(value, left_out, np.repeat([0, 1], [8, 5])))
    se = np.sqrt(x.var(ddof=1) / 8 + y.var(ddof=1) / 5) / 2
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.isf(0.025, 7 + 4) * se)


def test_the_interval_reaches_to_the_score_without_bias():
    x = np.random.default_rng(0).standard_normal(9)
    left_out = np.array([np.delete(x, i).var() for i in range(9)])
    found = confidence(Jackknife(x.var(), left_out, np.zeros(9, dtype=np.int64)))
    # The jackknife takes the whole bias out of a variance that is divided by n.
    assert found.high + found.low == pytest.approx(x.var() + x.var(ddof=1))
    assert found.high - found.low > x.var(ddof=1) - x.var()


@pytest.mark.parametrize("seed", range(20))
def test_p_is_below_05_where_0_is_outside(seed):
    rng = np.random.default_rng(seed)
    m = [ar(rng, 0.5, 80, 40)]
    found = confidence(jackknife_r([0.3 * m[0] + ar(rng, 0.5, 80, 40)], m, 20))
    outside = (found.low > 0) | (found.high < 0)
    np.testing.assert_array_equal(found.p < 0.05, outside)
    assert 0 < outside.sum() < 40


def test_without_two_blocks_nothing_is_known():
    found = confidence(Jackknife(np.array(0.3), np.array([0.2]), np.zeros(1, dtype=np.int64)))
    assert np.isnan([found.low, found.high, found.p]).all()


def test_what_two_models_share_does_not_widen_their_difference():
    rng = np.random.default_rng(0)
    m = [ar(rng, 0.6, 100, 200) for _ in range(2)]
    p = [own + 2 * ar(rng, 0.6, 100, 200) for own in m]
    other = [own + 0.05 * ar(rng, 0.6, 100, 200) for own in p]
    a, b = (jackknife_r(own, m, 25) for own in (p, other))
    alone, paired = confidence(a), confidence(paired_difference(a, b))
    assert np.median(paired.high - paired.low) < 0.2 * np.median(alone.high - alone.low)
    np.testing.assert_allclose(paired_difference(a, b).value, correlations(p, m) - correlations(other, m))


def correlations(predicted, measured):
    return np.mean([correlation(a, b) for a, b in zip(predicted, measured, strict=True)], axis=0)


def test_scores_of_other_rows_are_not_paired():
    a = Jackknife(np.array(0.1), np.zeros(4), np.array([0, 0, 1, 1]), "k")
    for other in (Jackknife(a.value, a.left_out, a.story, "l"), Jackknife(a.value, np.zeros(3), a.story[:3], "k")):
        with pytest.raises(BadInput, match="same subject, test stories"):
            paired_difference(a, other)


def test_intervals_hold_the_true_mean_r_of_short_stories():
    """The worst case of docs/statistics.md: two stories of 100 TRs, a signal that is slower than the noise."""
    world, rng = Planted(0.8, 0.4, 100, n_voxels=80), np.random.default_rng(1)
    true = {"r": world.true_a.mean(), "difference": (world.true_a - world.true_b).mean()}
    held = dict.fromkeys(true, 0)
    for _ in range(300):
        a, b, measured = world.draw(rng)
        of_a, of_b = (over_voxels(jackknife_r(own, measured, 25)) for own in (a, b))
        for name, score in (("r", of_a), ("difference", paired_difference(of_a, of_b))):
            found = confidence(score)
            held[name] += found.low <= true[name] <= found.high
    assert 0.92 <= held["r"] / 300 <= 0.98
    assert 0.92 <= held["difference"] / 300 <= 0.98


def test_models_that_are_alike_differ_at_the_nominal_rate():
    rng, n = np.random.default_rng(0), 4000
    a, b = ([ar(rng, 0.8, 100, n) for _ in range(2)] for _ in range(2))
    measured = [0.35 * (x + y) + ar(rng, 0.6, 100, n) for x, y in zip(a, b, strict=True)]
    p = confidence(paired_difference(jackknife_r(a, measured, 25), jackknife_r(b, measured, 25))).p
    for nominal in (0.05, 0.01):
        assert within((p < nominal).mean(), nominal, n), nominal
