from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaemb.identity import text_id
from qaemb.questions.bank import BankEntry, Question
from qaemb.questions.screening import _jaccard, _normalised, _words_of, screen

WORDS = st.sampled_from(["food", "rain", "a dog", "the sea", "work", "song", "pain", "money"])
TEXTS = st.lists(WORDS, min_size=1, max_size=4, unique=True).map(lambda w: f"Does the text mention {', '.join(w)}?")


def entries(texts: list[str]) -> list[BankEntry]:
    questions = [Question(f"q{i}", text, "family", "", "a yes", "a no") for i, text in enumerate(texts)]
    return [BankEntry(question, "file.yaml") for question in questions]


@pytest.mark.parametrize(
    "same",
    ["does the text mention Food?", "Does the text mention food ?", "Does the text mention ｆood?"],
)
def test_same_text_up_to_case_and_form_is_rejected(same: str) -> None:
    accepted, (rejection,) = screen(entries(["Does the text mention food?", same]), 1.0)
    assert [question.name for question in accepted] == ["q0"]
    assert (rejection.file, rejection.name, rejection.text) == ("file.yaml", "q1", same)
    assert rejection.reason == "has the same text as `q0` of the family `family`"


def test_threshold_is_inclusive() -> None:
    texts = ["Does the text mention one two three four?", "Does the text mention one two three five?"]
    assert _jaccard(_words_of(texts[0]), _words_of(texts[1])) == 7 / 9
    accepted, (rejection,) = screen(entries(texts), 7 / 9)
    assert len(accepted) == 1
    assert "near-duplicate of `q0` of the family `family` (word overlap 0.78)" in rejection.reason
    assert len(screen(entries(texts), 7 / 9 + 1e-9)[0]) == 2


def test_a_rejected_question_stands_in_nobodys_way() -> None:
    texts = ["Does the text mention one two three four", "Does the text mention one two three four?"]
    accepted, rejected = screen(entries(texts), 0.5)
    assert [q.name for q in accepted] == ["q1"]
    assert [(r.name, r.reason) for r in rejected] == [("q0", "does not end with `?`")]


def test_words_of() -> None:
    assert _words_of("Does the narrator’s dog, the DOG, bark?") == {"does", "the", "narrator", "s", "dog", "bark"}
    assert _normalised(" Is  it\nＲed ?") == "is it red"
    assert _jaccard(frozenset(), frozenset()) == 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=8), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_screen_agrees_with_a_plain_search(texts: list[str], similarity: float) -> None:
    kept: list[str] = []
    for text in texts:
        words = set(text.lower().replace(",", "").rstrip("?").split())
        others = [set(other.lower().replace(",", "").rstrip("?").split()) for other in kept]
        if all(len(words & other) / len(words | other) < similarity for other in others):
            kept.append(text)
    accepted, rejected = screen(entries(texts), similarity)
    assert [question.text for question in accepted] == kept
    assert len(accepted) + len(rejected) == len(texts)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=8, unique=True).flatmap(lambda t: st.tuples(st.just(t), st.permutations(t)))
)
def test_ids_do_not_depend_on_order_or_neighbours(pair: tuple[list[str], list[str]]) -> None:
    one, other = ({q.text: q.question_id for q in screen(entries(texts), 1.0)[0]} for texts in pair)
    for text in one.keys() & other.keys():
        assert one[text] == other[text] == text_id(text)


def test_id_is_of_the_text_alone() -> None:
    first = Question("a", "Does the text mention food?", "x", "p", "y", "n", "food")
    assert first.question_id == Question("b", "Does the text mention food?").question_id
    assert first.question_id != Question("a", "Does the text mention foods?").question_id
