"""Margin and mass from the log-probabilities of a reply, against cases computed by hand."""

import math

import pytest

from qaemb.answers.engines.server.logprobs import (
    LabelTokens,
    Tally,
    read_cell,
    tokens_by_id,
    tokens_by_word,
)
from qaemb.answers.prompts import load_prompt
from qaemb.answers.rendering import Labels
from qaemb.errors import BadInput

LABELS = LabelTokens(frozenset({"Yes", " Yes"}), frozenset({"No", " no"}))
CASES = {
    "both sides": ([("Yes", 0.5), ("No", 0.25), ("a", 0.125)], 0.5, 0.25, 0.75, 2),
    "all spellings count": ([("Yes", 0.5), (" Yes", 0.1), (" no", 0.2), ("No", 0.1)], 0.6, 0.3, 0.9, 2),
    "a side bounded by the smallest": ([("Yes", 0.5), ("a", 0.1)], 0.5, 0.1, 0.5, 1),
    "a side bounded by what is left": ([("a", 0.6), ("No", 0.3)], 0.1, 0.3, 0.3, 1),
    "a single sure token": ([("Yes", 0.9)], 0.9, 0.1, 0.9, 1),
    "neither side": ([("a", 0.6), ("b", 0.3)], 1, 1, 0, 0),
    "nothing at all": ([], 1, 1, 0, 0),
    "other spellings are other words": ([("Yesterday", 0.4), ("NO", 0.3), ("yes", 0.2)], 1, 1, 0, 0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cell_is_what_was_computed_by_hand(case):
    returned, yes, no, mass, n_sides = case
    cell = read_cell([(token, math.log(p)) for token, p in returned], LABELS)
    assert cell.margin == pytest.approx(math.log(yes / no))
    assert cell.mass == pytest.approx(mass)
    assert cell.n_sides == n_sides


def test_a_sure_answer_has_a_finite_margin():
    for smallest, expected in ((-30.0, 30.0), (-9999.0, -math.log(2**-23)), (-5.0, -math.log(2**-23))):
        cell = read_cell([("Yes", 0.0), ("a", smallest)], LABELS)
        assert cell.margin == pytest.approx(expected)  # float32 can't tell 1 from 1 - 2^-24
    assert cell.mass == 1.0


def test_a_token_that_is_next_to_impossible_is_not_found():
    cell = read_cell([("Yes", math.log(0.5)), ("No", -9999.0), ("a", math.log(0.2))], LABELS)
    assert (cell.margin, cell.n_sides) == (pytest.approx(math.log(0.5 / 0.2)), 1)


def test_probabilities_above_one_are_refused():
    with pytest.raises(ValueError, match="add up to 1.5"):
        read_cell([("Yes", 0.0), ("No", math.log(0.5))], LABELS)


def test_labels_are_the_spellings_of_a_vocabulary():
    prompt = load_prompt("text_first")
    words = tokens_by_word(prompt)
    assert {"Yes", " Yes", "yes", " yes", "YES", "ĠYes", "▁yes"} <= words.yes
    assert {"No", " no", "NO", "Ġno"} <= words.no
    assert not {"Y", "Yes.", "\nYes", "  Yes"} & words.yes
    assert tokens_by_id(Labels(yes=(7, 9), no=(8,))).yes == {"token_id:7", "token_id:9"}
    with pytest.raises(BadInput, match="same word"):
        tokens_by_word(prompt.model_copy(update={"no_label": "YES"}))


def test_the_tally_gives_shares():
    tally = Tally()
    assert tally.figures() == {"share_bounded": 0, "share_unanswered": 0, "requests": 0, "retries": 0}
    returned = ([("Yes", -1.0), ("No", -1.0)], [("Yes", -1.0)], [("No", -1.0)], [("a", -1.0)])
    tally.add(read_cell(tokens, LABELS) for tokens in returned)
    assert tally.figures() == {"share_bounded": 0.5, "share_unanswered": 0.25, "requests": 0, "retries": 0}
