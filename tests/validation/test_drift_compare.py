"""What a comparison finds: planted changes and no others, rates by hand, which questions and texts are compared."""

import numpy as np
import pytest
from scipy import stats

from qaemb.errors import BadInput
from qaemb.settings import DriftSettings
from qaemb.validation.drift import compare, headline
from qaemb.validation.drift.words import _direction, _notes, _telling_texts, printed

from .versions import reference, version

LIMITS = DriftSettings()


def _answers(n: int = 400, n_questions: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_questions))


def _row(drift, name: str):
    return next(row for row in drift.questions.itertuples() if row.name == name)


def test_rates_mass_and_flips_by_hand():
    before, now = np.array([[1, -1], [2, -1], [-1, -1], [-3, 1.0]]), np.array([[1, 1], [-2, 1], [-1, 1], [3, -1.0]])
    mass = np.full((4, 2), 0.5)
    row = _row(compare(reference(version(before)), version(now, mass), LIMITS), "q0")
    assert (row.yes_rate_before, row.yes_rate, row.rate_change, row.flipped) == (0.5, 0.5, 0.0, 0.5)
    assert (row.mean_before, row.mean) == (-0.25, 0.25)
    assert row.mean_mass_before == pytest.approx(0.9)
    assert row.mass_change == pytest.approx(-0.4)
    assert row.reordered == pytest.approx(1 - stats.spearmanr(before[:, 0], now[:, 0]).statistic)
    assert row.ks == pytest.approx(stats.ks_2samp(before[:, 0], now[:, 0]).statistic)
    assert not row.moved, "four texts prove nothing"


def test_the_same_answers_have_not_moved():
    drift = compare(reference(version(_answers())), version(_answers()), LIMITS)
    assert drift.moved.empty
    assert drift.pairs.empty
    assert headline(drift) == "j against reference r: none of 20 questions moved"
    assert _telling_texts(drift).empty


PLANTED = {
    "rate_change": lambda values: values + 0.5,
    "ks": lambda values: values * 3,
    "flipped": lambda values: -values,
    "reordered": lambda values: values[::-1],
}


@pytest.mark.parametrize(
    ("measure", "same_texts"),
    [
        ("rate_change", True),
        ("rate_change", False),
        ("ks", True),
        ("ks", False),
        ("flipped", True),
        ("reordered", True),
    ],
)
def test_a_planted_change_of_one_question_is_found_and_no_other(measure, same_texts):
    drift = _planted(measure, same_texts)
    assert drift.moved["name"].tolist() == ["q7"]
    assert _row(drift, "q7")._asdict()[f"sure_{measure}"] != 0


@pytest.mark.parametrize("measure", ["flipped", "reordered"])
def test_only_common_texts_show_that_answers_turned_round(measure):
    assert _planted(measure, same_texts=False).moved.empty


def test_a_rare_question_that_is_answered_in_another_order_is_found():
    """3 % yes before and now, the same margins: neither the rate, nor KS, nor the share of flips shows it."""
    before = _answers()
    before[:, 7] -= 1.9
    now = before.copy()
    now[:, 7] = now[::-1, 7]
    drift = compare(reference(version(before)), version(now), LIMITS)
    assert drift.moved["name"].tolist() == ["q7"]
    assert _direction(_row(drift, "q7"), LIMITS).startswith("common texts in another order: rank correlation")


def _planted(measure: str, same_texts: bool):
    before = _answers()
    now = before.copy() if same_texts else _answers(seed=1)
    now[:, 7] = PLANTED[measure](now[:, 7])
    texts = None if same_texts else [f"new {number}" for number in range(len(now))]
    return compare(reference(version(before)), version(now, texts=texts), LIMITS)


def test_a_fall_of_the_mass_of_one_question_is_found():
    mass = np.full((400, 20), 0.9)
    mass[:, 3] -= 0.2
    drift = compare(reference(version(_answers())), version(_answers(), mass), LIMITS)
    assert drift.moved["name"].tolist() == ["q3"]
    assert _direction(_row(drift, "q3"), LIMITS) == "less mass: 0.90 -> 0.70"


def test_a_large_effect_that_may_be_chance_is_none_and_a_sure_small_one_neither():
    few = compare(
        reference(version(_answers(20))), version(_answers(20, seed=1), texts=list("abcdefghijklmnopqrst")), LIMITS
    )
    assert (few.questions["ks"] > LIMITS.max_ks).any()
    assert few.moved.empty
    many = compare(reference(version(_answers(20_000, 3))), version(_answers(20_000, 3) + 0.1), LIMITS)
    assert (many.questions[["q_ks", "q_rate_change"]] < 1e-6).all(axis=None)
    assert many.moved.empty


def test_a_question_that_gets_one_answer_only_is_new_if_it_got_both():
    before = _answers(400, 4)
    before[:, 2] = -np.abs(before[:, 2])
    now = before.copy()
    now[:, 1] = np.abs(now[:, 1])
    drift = compare(reference(version(before)), version(now), LIMITS)
    assert drift.questions["new_constant"].tolist() == [0, 1, 0, 0]
    assert "always yes now" in _direction(_row(drift, "q1"), LIMITS)
    assert "1 got both answers and now get one" in headline(drift)


def test_questions_that_became_the_same_or_opposite_are_found_and_old_twins_are_not():
    before = _answers(400, 6)
    before[:, 5] = before[:, 4]
    now = before.copy()
    now[:, 1] = -now[:, 0] + 0.01 * np.random.default_rng(9).normal(size=400)
    drift = compare(reference(version(before)), version(now), LIMITS)
    assert drift.pairs[["first", "second"]].to_numpy().tolist() == [["q0", "q1"]]
    pair = drift.pairs.iloc[0]
    assert pair["rho"] == pytest.approx(stats.spearmanr(now[:, 0], now[:, 1]).statistic, abs=1e-6)
    assert pair["rho"] < -0.99
    assert "q0 and q1 became the same" in printed(drift, _telling_texts(drift))


def test_only_shared_questions_are_compared_by_their_words_and_the_others_named():
    before = version(_answers(50, 3), names=["food", "place", "gone"])
    now = version(_answers(50, 3)[:, [1, 0, 2]], names=["place", "food", "fresh"])
    drift = compare(reference(before), now, LIMITS)
    assert drift.questions["name"].tolist() == ["place", "food"]
    assert drift.moved.empty, "columns are matched by question, not by place"
    assert (drift.added, drift.removed) == (("fresh",), ("gone",))
    said = " ".join(_notes(drift))
    assert "Not compared, as they are new: fresh." in said
    assert "Not compared, as they are no longer asked: gone." in said


def test_a_renamed_question_is_compared_and_said():
    before = version(_answers(50, 2))
    now = version(_answers(50, 2), names=["meal", "q1"], asked=["q0", "q1"])
    drift = compare(reference(before), now, LIMITS)
    assert drift.renamed == {"q0": "meal"}
    assert drift.questions["name"].tolist() == ["meal", "q1"]
    assert "q0 is now meal" in " ".join(_notes(drift))


def test_without_a_shared_question_there_is_nothing_to_compare():
    with pytest.raises(BadInput, match="reference `r` and job `j` share no question .*qaemb drift accept j"):
        compare(reference(version(_answers(9, 2))), version(_answers(9, 2), names=["x", "y"]), LIMITS)


def test_the_notes_say_which_answerer_and_which_texts():
    before = version(_answers(50, 2), n_segments=900)
    same = " ".join(_notes(compare(reference(before), version(_answers(50, 2)), LIMITS)))
    assert "The same answerer then and now: a (key k; reference accepted on 2026-01-02), the same matrix." in same
    texts = [f"text {number}" for number in range(40, 90)]
    other = version(_answers(50, 2), texts=texts, answerer="b", key="l", segmentation="tr", dataset="e")
    said = " ".join(_notes(compare(reference(before), other, LIMITS)))
    assert "Another answerer: a (key k, accepted on 2026-01-02) then, b (key l) now." in said
    assert "50 texts of the reference (a sample of 900), 50 now, 10 in common" in said
    assert "segmentation s, the job of tr" in said
    assert "data set d, the job of e" in said
    disjoint = version(_answers(50, 2), texts=[f"new {number}" for number in range(50)])
    drift = compare(reference(before), disjoint, LIMITS)
    assert "none in common: only distributions are compared" in " ".join(_notes(drift))
    assert drift.questions["flipped"].isna().all()
    assert (drift.questions[["sure_flipped", "sure_reordered"]] == 0).all(axis=None)


def test_texts_show_the_largest_changes_and_the_most_extreme_new_ones():
    before, now = np.full((300, 2), -2.0), np.full((320, 2), -1.0)
    before[:, 1] = now[:300, 1] = np.linspace(-1, 1, 300)
    now[100:250, 0] = 1.0
    now[[5, 6, 7], 0] = [6.0, 7.0, 5.0]  # P(yes) .119 -> .998, .999, .993
    now[[310, 311, 312], 0] = [9.0, 10.0, 8.0]
    drift = compare(reference(version(before)), version(now), LIMITS)
    texts = _telling_texts(drift)
    assert texts["name"].unique().tolist() == ["q0"]
    assert texts["text"].tolist() == ["text 6", "text 5", "text 7", "text 311", "text 310", "text 312"]
    assert texts["kind"].tolist() == ["changed"] * 3 + ["extreme"] * 3
    first = texts.iloc[0]
    assert (first["margin_before"], first["margin"]) == (-2.0, 7.0)
    assert first["p"] == pytest.approx(1 / (1 + np.exp(-7)))
    assert texts["p_before"].isna().tolist() == [False] * 3 + [True] * 3
    said = printed(drift, texts)
    assert "q0: more yes: 0.0% ->" in said
    assert "changed  P(yes) 0.12 -> 1.00  text 6" in said


def test_where_all_texts_are_common_the_extremes_are_of_these_and_follow_the_direction():
    before = np.tile(np.linspace(-1, 3, 300)[:, None], (1, 2))
    now = before.copy()
    now[:, 0] -= 2
    texts = _telling_texts(compare(reference(version(before)), version(now), LIMITS))
    assert texts.loc[texts["kind"] == "extreme", "text"].tolist() == ["text 0", "text 1", "text 2"]


def test_questions_are_ordered_by_how_far_they_are_beyond_their_limits():
    before = _answers(2000, 4)
    now = before + np.array([0, 0.6, 2.0, 1.2])
    assert compare(reference(version(before)), version(now), LIMITS).moved["name"].tolist() == ["q2", "q3", "q1"]


def test_limits_of_zero_let_nothing_pass_that_is_sure():
    strict = DriftSettings(max_ks=0, max_rate_change=0, max_flipped=0)
    now = _answers(2000, 4)
    drift = compare(reference(version(_answers(2000, 4))), version(now + np.array([0, 0.3, 0, 0])), strict)
    assert drift.moved["name"].tolist() == ["q1"]
