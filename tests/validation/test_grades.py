"""Grades against AUC and accuracy counted by hand, pair by pair."""

import numpy as np
import pandas as pd
import pytest

from qaemb.validation import grade


def _auc_by_pairs(truth, margins) -> float:
    pairs = [(yes, no) for yes in margins[truth] for no in margins[~truth]]
    return float(np.mean([1.0 if yes > no else 0.5 if yes == no else 0.0 for yes, no in pairs]))


def _case():
    margin = pd.DataFrame(
        {"segment_id": ["x", "y", "z"], "food": np.float32([2.0, -1.0, 0.5]), "other": [0.0, 0.0, 0.0]}
    )
    occurrences = pd.DataFrame(
        {"story": ["s", "s", "t", "t"], "index": [0, 1, 0, 1], "time_s": 0.0, "segment_id": ["x", "y", "z", "y"]}
    )
    gold = pd.DataFrame(
        {
            "story": ["t", "t", "s", "s"],
            "index": [1, 0, 1, 0],
            "p_food": [False, False, True, True],
            "p_never": [False, False, False, False],
        }
    )
    return margin, occurrences, gold


def test_grades_of_four_sentences_by_hand():
    # In the order of the occurrences: margins 2, -1, 0.5, -1 and truth yes, yes, no, no.
    row = grade(*_case(), {"food": "p_food"}).iloc[0]
    assert (row["n"], row["n_yes"]) == (4, 2)
    assert row["auc"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert row["balanced_accuracy"] == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_auc_equals_the_share_of_ordered_pairs():
    rng = np.random.default_rng(2)
    margins = rng.normal(size=60).round(1)
    truth = rng.random(60) < 0.3
    ids = [f"s{i}" for i in range(60)]
    margin = pd.DataFrame({"segment_id": ids, "q": margins})
    occurrences = pd.DataFrame({"story": "s", "index": range(60), "segment_id": ids})
    gold = pd.DataFrame({"story": "s", "index": range(60), "p": truth})
    assert grade(margin, occurrences, gold, {"q": "p"})["auc"].tolist() == pytest.approx(
        [_auc_by_pairs(truth, margins)]
    )


def test_a_constant_property_is_kept_without_a_grade():
    row = grade(*_case(), {"food": "p_never"}).iloc[0]
    assert (row["n"], row["n_yes"]) == (4, 0)
    assert np.isnan(row["auc"])
    assert np.isnan(row["balanced_accuracy"])


def test_questions_and_properties_that_are_not_there_are_left_out():
    table = grade(*_case(), {"absent": "p_food", "other": "p_unknown"})
    assert table.empty
    assert table.columns.tolist() == ["name", "property", "n", "n_yes", "auc", "balanced_accuracy"]
