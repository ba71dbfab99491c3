"""Choosers on cases small enough to choose by hand, and what all of them promise."""

from __future__ import annotations

import numpy as np
import pytest

from qaemb.distill.active import CHOOSERS, State, _quotas, calibration, choose_cells, growth
from qaemb.errors import BadInput, BadParameter


def state(n_texts: int = 120, n_questions: int = 5, seed: int = 0) -> State:
    """Texts in a plane, a tenth of whose cells was asked, with margins that mean nothing."""
    rng = np.random.default_rng(seed)
    return State(
        rng.standard_normal((n_texts, 2)).astype(np.float32),
        rng.random((n_texts, n_questions)) < 0.1,
        rng.standard_normal((n_texts, n_questions)).astype(np.float32),
        value=np.arange(1.0, n_questions + 1),
    )


def one_question(margin: list[float], asked: list[int], vectors: np.ndarray | None = None) -> State:
    known = np.zeros((len(margin), 1), bool)
    known[asked] = True
    own = np.zeros((len(margin), 2), np.float32) if vectors is None else vectors.astype(np.float32)
    return State(own, known, np.array(margin, np.float32)[:, None])


def picked(chooser: str, given: State, budget: int, seed: int = 0) -> set[int]:
    return set(np.flatnonzero(choose_cells(chooser, given, budget, seed, random_share=0.0).cells[:, 0]))


@pytest.mark.parametrize("chooser", CHOOSERS)
@pytest.mark.parametrize("budget", [1, 7, 100, 333])
def test_the_budget_is_spent_exactly_and_no_cell_is_asked_twice(chooser, budget):
    given = state()
    chosen = choose_cells(chooser, given, budget, seed=3)
    assert chosen.cells.sum() == budget
    assert not (chosen.cells & given.asked).any()
    assert not (chosen.at_random & ~chosen.cells & ~given.asked).any()


@pytest.mark.parametrize("chooser", CHOOSERS)
def test_all_that_is_left_can_be_asked_and_nothing_more(chooser):
    given = state()
    left = int((~given.asked).sum())
    np.testing.assert_array_equal(choose_cells(chooser, given, left, seed=0).cells, ~given.asked)
    with pytest.raises(BadParameter, match=f"give 1 to {left}"):
        choose_cells(chooser, given, left + 1, seed=0)


@pytest.mark.parametrize("chooser", CHOOSERS)
def test_the_choice_depends_on_the_seed_alone(chooser):
    first, again, other = (choose_cells(chooser, state(), 60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.cells, again.cells)
    np.testing.assert_array_equal(first.at_random, again.at_random)
    assert (first.cells != other.cells).any()


@pytest.mark.parametrize("chooser", sorted(set(CHOOSERS) - {"question_value"}))
def test_questions_get_the_same_number_of_cells(chooser):
    chosen = choose_cells(chooser, state(), 52, seed=0, random_share=0.0)
    assert sorted(chosen.cells.sum(axis=0)) == [10, 10, 10, 11, 11]


@pytest.mark.parametrize(
    ("chooser", "share", "expected"), [("random", 0.1, 40), ("combined", 0.25, 10), ("diverse", 0.5, 20)]
)
def test_the_random_part_is_named(chooser, share, expected):
    chosen = choose_cells(chooser, state(), 40, seed=0, random_share=share)
    assert (chosen.cells & chosen.at_random).sum() == expected


def test_the_random_sample_is_one_of_all_cells_whatever_was_asked_before():
    rng = np.random.default_rng(0)
    margin = rng.standard_normal((4000, 3))
    known = margin > 1  # a chooser took the sixth of the cells that are the likeliest
    sample, asked = np.zeros_like(known), known
    for seed in range(3):
        given = State(np.zeros((4000, 2)), asked, margin, sample)
        chosen = choose_cells("likely_yes", given, 2000, seed, random_share=0.5)
        assert not (chosen.at_random & sample).any()
        asked, sample = asked | chosen.cells, sample | chosen.at_random
    assert abs(margin[sample].mean()) < 3 / np.sqrt(sample.sum())
    assert (sample & known).sum() == pytest.approx(known.mean() * sample.sum(), rel=0.15)
    assert margin[asked & ~sample].mean() > 0.5


def test_uncertain_cells_are_those_nearest_to_zero():
    assert picked("uncertainty", one_question([3.0, -0.2, 0.1, -4.0, 0.3, 0.05], asked=[5]), 2) == {1, 2}


def test_likely_yes_cells_are_among_the_top_fifth_of_what_is_left():
    margin = [float(i) for i in range(25)]
    given = one_question(margin, asked=[24, 23, 22, 21, 20])  # of the 20 left the top fifth are 16..19
    drawn = [picked("likely_yes", given, 2, seed) for seed in range(30)]
    assert set.union(*drawn) == {16, 17, 18, 19}
    assert picked("likely_yes", given, 4) == {16, 17, 18, 19}
    assert picked("likely_yes", given, 6) > {16, 17, 18, 19}


def test_whole_texts_are_asked_all_questions():
    given = State(np.zeros((30, 2), np.float32), np.zeros((30, 4), bool), np.zeros((30, 4)))
    chosen = choose_cells("whole_texts", given, 20, seed=0).cells
    assert sorted(chosen.sum(axis=1)) == [0] * 25 + [4] * 5


def blobs(n_each: list[int]) -> np.ndarray:
    """Return points in as many far clusters, one after the other."""
    centre = 100.0 * np.arange(len(n_each))
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal([c, 0], 0.5, (n, 2)) for c, n in zip(centre, n_each, strict=True)])


def test_diverse_cells_fill_the_clusters_evenly_counting_those_asked(monkeypatch):
    monkeypatch.setattr("qaemb.distill.active._clusters", lambda vectors, rng: (vectors[:, 0] > 50).astype(int))
    given = one_question([0.0] * 50, asked=[0, 1, 2], vectors=blobs([40, 10]))
    chosen = picked("diverse", given, 7)  # 3 of the first cluster are asked: 5 and 5 in the end
    assert len([i for i in chosen if i >= 40]) == 5
    assert len(picked("random", given, 7) & set(range(40, 50))) < 5


def test_texts_of_one_cluster_are_found_to_be_alike():
    given = one_question([0.0] * 60, asked=[], vectors=blobs([50, 2, 2, 2, 2, 2]))
    # k-means starts from random texts, so that it may miss a small cluster: the mean over seeds, against 10/60.
    share = np.mean([len([i for i in picked("diverse", given, 6, seed) if i >= 50]) / 6 for seed in range(20)])
    assert share > 0.3


@pytest.mark.parametrize(("n_asked", "lowest"), [(10, 1990 - 100), (40, 1960 - 196), (1440, 560 - 336)])
def test_the_share_that_combined_draws_from_grows_with_the_answers(n_asked, lowest):
    # sqrt(10 / 4000) = .05 of 1990, sqrt(40 / 4000) = .1 of 1960, at most .6 of the 560 left.
    given = one_question([float(i) for i in range(2000)], asked=list(range(2000 - n_asked, 2000)))
    drawn = [picked("combined", given, 50, seed) for seed in range(20)]
    assert min(set.union(*drawn)) >= lowest
    assert min(set.union(*drawn)) < lowest + 10


def test_question_value_gives_cells_in_proportion():
    given = State(
        np.zeros((500, 2), np.float32), np.zeros((500, 3), bool), np.zeros((500, 3)), value=np.array([1.0, 2, 3])
    )
    assert choose_cells("question_value", given, 60, 0, random_share=0.0).cells.sum(axis=0).tolist() == [10, 20, 30]


def test_quotas_never_exceed_what_is_left_and_sum_to_the_budget():
    rng = np.random.default_rng(0)
    assert _quotas(10, np.array([2, 9, 9]), None, rng).tolist() == [2, 4, 4]
    assert _quotas(20, np.array([2, 9, 9]), np.array([1e6, 1, 0]), rng).tolist() == [2, 9, 9]
    assert sorted(_quotas(2, np.array([5, 5, 5, 5]), None, rng)) == [0, 0, 1, 1]


def test_growth_is_relative_bounded_and_1_where_unknown():
    before = np.array([0.5, 0.5, 0.5, np.nan, 0.5])
    now = np.array([0.51, 0.6, 0.53, 0.7, 0.45])
    # mean growth (.01 + .1 + .03 - .05) / 4 = .0225
    np.testing.assert_allclose(growth(before, now), [0.5, 2.0, 0.03 / 0.0225, 1.0, 0.5])
    assert growth(now, before).tolist() == [1.0] * 5


def test_calibration_is_right_though_the_chosen_cells_say_yes_more_often():
    rng = np.random.default_rng(0)
    n, n_questions = 6000, 4
    score = rng.standard_normal((n, n_questions))
    hidden = rng.standard_normal((n, n_questions))  # what the chooser knows besides the score
    labels = (rng.random((n, n_questions)) < 1 / (1 + np.exp(-(1.5 * score + 1.5 * hidden - 2.5)))).astype(float)
    chosen = hidden > 1.0
    at_random = rng.random((n, n_questions)) < 0.1

    def mean_p(slope, bias):
        return float((1 / (1 + np.exp(-(slope * score + bias)))).mean())

    naive = mean_p(*calibration(score, labels, chosen | at_random, np.zeros_like(chosen)))
    clean = mean_p(*calibration(score, labels, chosen | at_random, at_random))
    assert naive > labels.mean() + 0.1
    assert abs(clean - labels.mean()) < 0.02


def test_bad_arguments_are_named():
    given = state()
    with pytest.raises(BadParameter, match="no chooser `best`; there are: random"):
        choose_cells("best", given, 5, 0)
    with pytest.raises(BadParameter, match="random_share is 2"):
        choose_cells("combined", given, 5, 0, random_share=2)
    with pytest.raises(BadParameter, match="budget is 0"):
        choose_cells("random", given, 0, 0)
    with pytest.raises(BadInput, match="do not belong together"):
        State(given.vectors[:-1], given.asked, given.margin)
    with pytest.raises(BadInput, match="in the random sample but was not asked"):
        State(given.vectors, given.asked, given.margin, np.ones_like(given.asked))
    with pytest.raises(BadInput, match="one number for each of 5"):
        State(given.vectors, given.asked, given.margin, value=np.ones(4))
