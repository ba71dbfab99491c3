import pytest

from qaemb.datasets.words import NOISE_LABELS, clean_word

LABELS = sorted(NOISE_LABELS)  # a set, whose order differs from process to process


@pytest.mark.parametrize("label", [*LABELS, *(f"{{{label.upper()}}}" for label in LABELS), "", "  ", "{}"])
def test_noise_and_silence_are_no_words(label):
    assert clean_word(label) is None


@pytest.mark.parametrize(("label", "word"), [("DON'T", "don't"), (" Spoke ", "spoke"), ("{YES}", "yes"), ("I", "i")])
def test_words_are_lower_case(label, word):
    assert clean_word(label) == word
