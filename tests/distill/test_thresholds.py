"""Thresholds of a cascade: the agreement that they promise is reached as often as they say, and calls are saved."""

import dataclasses

import numpy as np
import pytest

from qaemb.distill.cascade import CalibrationCells, calibrate, texts_needed
from qaemb.errors import BadInput, BadParameter

N_QUESTIONS = 8
NAMES = np.array([f"q{number}" for number in range(N_QUESTIONS)])
BASE = np.linspace(-2.5, 1.0, N_QUESTIONS)  # questions differ in how often they are answered yes


def world(rng: np.random.Generator, n_texts: int, together: float = 0.0, noise: float = 0.8) -> tuple:
    """Margins (texts, questions) of a student and its teacher; on a share `together` of texts the student guesses."""
    truth = BASE + 2.0 * rng.normal(size=(n_texts, N_QUESTIONS))
    student = truth + noise * rng.normal(size=truth.shape)
    lost = rng.random(n_texts) < together
    student[lost] = BASE + 2.2 * rng.normal(size=(lost.sum(), N_QUESTIONS))
    return student, truth


def cells(student: np.ndarray, teacher: np.ndarray, clustered: bool = True) -> CalibrationCells:
    n_texts = len(student)
    texts = np.repeat(np.array([f"t{number}" for number in range(n_texts)]), N_QUESTIONS) if clustered else None
    return CalibrationCells(student.ravel(), teacher.ravel(), np.tile(NAMES, n_texts), texts)


def achieved(found, student: np.ndarray, teacher: np.ndarray) -> tuple[float, float]:
    """The agreement over all cells and the share saved."""
    low, high = found.limits(list(NAMES))
    sure = (student <= low) | (student >= high)
    wrong = sure & ((student > 0) != (teacher > 0))
    return 1 - wrong.mean(), sure.mean()


@pytest.mark.parametrize("together", [0.0, 0.15], ids=["texts alike", "lost texts"])
def test_the_agreement_is_under_the_target_in_few_draws_and_calls_are_saved(together):
    rng = np.random.default_rng(0)
    everything = world(rng, 30_000, together)
    student_alone = ((everything[0] > 0) == (everything[1] > 0)).mean()
    assert student_alone < 0.92
    draws = [achieved(calibrate(cells(*world(rng, 400, together)), 0.95, 0.9), *everything) for _ in range(30)]
    agreement, saved = np.array(draws).T
    assert (agreement < 0.95).mean() <= 0.1
    assert np.median(saved) > 0.55


def test_with_cells_that_err_together_the_promise_holds_only_where_texts_are_named():
    """On 4.6 % of the texts the student is wholly wrong: a draw with few of these looks better than the truth is."""
    rng = np.random.default_rng(1)

    def draw(n_texts: int) -> tuple[np.ndarray, np.ndarray]:
        teacher = np.where(rng.random((n_texts, 1)) < 0.5, 1.0, -1.0) * np.ones(N_QUESTIONS)
        student = teacher * (1 + rng.random((n_texts, N_QUESTIONS)))
        return np.where(rng.random((n_texts, 1)) < 0.06, -student, student), teacher

    everything = draw(30_000)
    under = {True: 0, False: 0}
    for _ in range(40):
        sample = draw(150)
        for clustered in under:
            found = calibrate(cells(*sample, clustered=clustered), 0.95, 0.9)
            under[clustered] += achieved(found, *everything)[0] < 0.95
    assert under[True] <= 4
    assert under[False] > 8


def test_an_uninformative_student_saves_next_to_nothing():
    rng = np.random.default_rng(2)
    student, teacher = 2 * rng.normal(size=(2, 400, N_QUESTIONS))
    found = calibrate(cells(student, teacher), 0.95)
    agreement, saved = achieved(found, *(2 * rng.normal(size=(2, 20_000, N_QUESTIONS))))
    assert saved < 0.1
    assert agreement > 0.95


def test_a_higher_target_saves_less_and_a_larger_sample_more():
    rng = np.random.default_rng(3)
    sample = world(rng, 1200)
    saved = [calibrate(cells(*sample), target).evidence.share_saved for target in (0.9, 0.95, 0.98, 0.995)]
    assert saved == sorted(saved, reverse=True)
    assert saved[0] > saved[-1]
    small = calibrate(cells(*(values[:150] for values in sample)), 0.95).evidence.share_saved
    assert small < saved[1]


def test_a_question_with_many_cells_has_a_band_of_its_own():
    student, teacher = world(np.random.default_rng(4), 1000)
    student[:, ::2] += 1.5  # the student says yes too easily to every other question
    found = calibrate(cells(student, teacher), 0.95)
    high = np.array([found.bands[name][1] for name in NAMES])
    assert high[::2].min() > high[1::2].max() + 0.5
    assert max(low for low, _ in found.bands.values()) <= 0


def test_the_level_is_the_last_before_the_first_that_fails():
    """The same as going through all levels one by one, from the most careful on."""
    from qaemb.distill import cascade as own
    from qaemb.distill.curves import fit_curves

    sample = cells(*world(np.random.default_rng(12), 300))
    names, question = np.unique(sample.question, return_inverse=True)
    shaping, testing = own._parts(sample, question, 0.95, 0.95, 0)
    curves = fit_curves(shaping.student, shaping.yes, shaping.question, len(names))
    passed = []
    for level in own._levels(curves.wrong(shaping.student, shaping.question)):
        errors = testing.per_text(testing.disagree & testing.sure(curves.limits(level)))
        if not own._risk_is_below(errors, np.full(240, N_QUESTIONS), 0.05, 0.95):
            break
        passed.append(level)
    assert 10 < len(passed) < 190
    np.testing.assert_array_equal(calibrate(sample, 0.95).limits(list(names)), curves.limits(passed[-1]))


def test_a_question_that_was_not_in_the_sample_is_always_asked():
    found = calibrate(cells(*world(np.random.default_rng(5), 200)), 0.95)
    low, high = found.limits(["new"])
    assert (low[0], high[0]) == (-np.inf, np.inf)


def test_the_evidence_is_that_of_the_texts_that_did_not_shape_the_bands():
    student, teacher = world(np.random.default_rng(6), 300)
    found = calibrate(cells(student, teacher), 0.95, seed=7)
    order = np.random.default_rng(7).permutation(300)
    rows = np.unique(np.array([f"t{number}" for number in range(300)]), return_index=True)[1][order[60:]]
    testing = student[rows], teacher[rows]
    agreement, saved = achieved(found, *testing)
    evidence = found.evidence
    assert evidence.agreement == pytest.approx(agreement)
    assert evidence.share_saved == pytest.approx(saved)
    assert evidence.student_agreement == pytest.approx(((testing[0] > 0) == (testing[1] > 0)).mean())
    assert evidence.own_agreement == pytest.approx(1 - (1 - agreement) / saved)
    yes, agree = testing[1] > 0, (testing[0] > 0) == (testing[1] > 0)
    low, high = found.limits(list(NAMES))
    kept = agree | ((testing[0] > low) & (testing[0] < high))
    assert (evidence.yes_kept, evidence.no_kept) == (pytest.approx(kept[yes].mean()), pytest.approx(kept[~yes].mean()))
    assert evidence.target <= evidence.bound <= evidence.agreement
    assert (evidence.n_cells, evidence.n_texts) == (300 * N_QUESTIONS, 300)
    assert evidence.own_agreement < evidence.agreement  # the stricter figure


def test_a_cell_of_which_the_student_abstains_is_neither_saved_nor_wrong():
    student, teacher = world(np.random.default_rng(8), 300)
    student[:, 0] = np.nan
    found = calibrate(cells(student, teacher), 0.95)
    assert found.evidence.share_saved < 7 / 8
    silent = calibrate(cells(np.full_like(student, np.nan), teacher), 0.95)
    assert silent.evidence.share_saved == 0
    assert silent.evidence.agreement == silent.evidence.bound == 1
    assert np.isnan(silent.evidence.own_agreement)
    assert set(silent.bands.values()) == {(-np.inf, np.inf)}


@pytest.mark.parametrize("target", [0.8, 0.95, 0.99])
def test_too_few_texts_are_refused_with_the_number_that_it_takes(target):
    n = texts_needed(target, 0.95)
    rng = np.random.default_rng(9)
    truth = rng.normal(size=(n, N_QUESTIONS))
    with pytest.raises(BadInput, match=rf"{n - 1} texts can't show an agreement of {target} .*at least {n} texts"):
        calibrate(cells(truth[1:], truth[1:]), target)
    assert calibrate(cells(truth, truth), target).evidence.share_saved > 0.9  # a perfect student, just enough texts


def test_what_is_wrong_is_named():
    good = cells(*world(np.random.default_rng(10), 100))
    for values in ({"target": 1.0}, {"target": 0.3}, {"target": 0.9, "confidence": 1.0}):
        with pytest.raises(BadParameter, match=r"of a cascade must be at least 0\.5 and below 1"):
            calibrate(good, **values)
    with pytest.raises(BadInput, match="arrays of one length"):
        calibrate(dataclasses.replace(good, question=good.question[1:]), 0.9)
    teacher = good.teacher.copy()
    teacher[3] = np.nan
    with pytest.raises(BadInput, match="no margin of the teacher"):
        calibrate(dataclasses.replace(good, teacher=teacher), 0.9)


def test_the_same_sample_and_seed_give_the_same_thresholds_in_any_order_of_cells():
    whole = cells(*world(np.random.default_rng(11), 200))
    first = calibrate(whole, 0.95)
    turned = np.random.default_rng(0).permutation(len(whole.student))
    shuffled = CalibrationCells(
        *(values[turned] for values in (whole.student, whole.teacher, whole.question, whole.text))
    )
    again = calibrate(shuffled, 0.95)
    assert again.evidence.share_saved == pytest.approx(first.evidence.share_saved, abs=0.01)
    np.testing.assert_allclose(again.limits(list(NAMES)), first.limits(list(NAMES)), rtol=1e-3)
