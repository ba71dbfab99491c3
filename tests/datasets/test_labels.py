import pandas as pd
import pytest

from qaemb.datasets.words import _NOISE_LABELS, LabelRules, clean_word, odd_labels, spoken_words
from qaemb.settings import DatasetSettings

LABELS = sorted(_NOISE_LABELS)  # a set, whose order differs from process to process


@pytest.mark.parametrize("label", [*LABELS, *(f"{{{label.upper()}}}" for label in LABELS), "", "  ", "{}"])
def test_noise_and_silence_are_no_words(label):
    assert clean_word(label) is None


@pytest.mark.parametrize(("label", "word"), [("DON'T", "don't"), (" Spoke ", "spoke"), ("{YES}", "yes"), ("I", "i")])
def test_words_are_lower_case(label, word):
    assert clean_word(label) == word


MARKS = ["<unk>", "<eps>", "<s>", "</s>", "<p:>", "<usb>", "<nib>", "<CUTOFF-the>", "[noise]", "[laughter-yes]"]
MARKS += ["(laughs)", "((unclear))", "(.)", "sil", "SIL", "spn", "nsn", "UNK", "h#", "!SIL", "xxx", "&=laughs", "{CG}"]
MARKS += ["[x] [y]", "***", "#", "...", "\u2014", "-", "_", "+/.", "{B_TRANS}", "{ laugh }"]


@pytest.mark.parametrize("label", MARKS)
def test_marks_of_aligners_are_no_words(label):
    assert clean_word(label) is None


@pytest.mark.parametrize(
    "label",
    ["silence", "noise", "laughter", "um", "o'clock", "50%", "3", "a.m.", "kite,", "\u4e16\u754c", "<a> b"],
)
def test_what_may_be_a_word_stays_one(label):
    assert clean_word(label) == label


def test_marks_of_the_settings():
    values = {"name": "x", "adapter": "folder", "path": "x", "subjects": ["a"], "test_stories": ["b"]}
    rules = LabelRules.of(DatasetSettings.model_validate(values | {"marks": ["Uh", "%hm"]}))
    assert [clean_word(label, rules) for label in ("uh", " UH", "%hm", "huh", "sp")] == [None, None, None, "huh", None]


def test_what_was_dropped_is_counted():
    labels = pd.DataFrame({"word": ["We", "sp", "", "SP", "<unk>"], "onset_s": range(5), "offset_s": range(1, 6)})
    words = spoken_words(labels)
    assert words["word"].tolist() == ["we"]
    assert words.attrs["marks"] == {"sp": 2, "<unk>": 1}
    assert odd_labels(["we", "new york", "a=b", "*no*", "don't", "u.s.", "what?", "a=b"]) == {
        "new york": 1,
        "a=b": 2,
        "*no*": 1,
    }
