import itertools

import pytest

from qaemb.errors import BadInput
from qaemb.settings import SegmentationSettings
from qaemb.stimuli.marks import Parts, join_marked, split_marked
from qaemb.stimuli.segments import segment_tables

# Single brackets are words like any other, also at the very edge of the focus.
PIECES = ["", "so", "we ate soup", "[", "]", "[a b]", "f[0] = [1]", "[laughter]", "\u00e9t\u00e9 \u2014 \u65e5\u672c"]


@pytest.mark.parametrize(("before", "focus", "after"), itertools.product(PIECES, repeat=3))
def test_a_joined_text_is_split_into_its_parts_again(before, focus, after):
    parts = Parts(before, focus, after)
    assert split_marked(join_marked(parts)) == parts


@pytest.mark.parametrize(
    "text",
    [
        *[
            "We ate soup.",
            "",
            "[laughter]",
            "[[ate",
            "ate]]",
            "]]ate[[",
            "[[",
            "]]",
            "[[]",
            "a [[b]] [[c]]",
            "[[a]] b]]",
        ],
        *["[[a [[b]] c", "x[[0]]", "[[0]].sum()", "a[[b]]c", "see [[this]], please"],
    ],
)
def test_a_text_without_one_pair_of_marks_between_words_is_all_focus(text):
    assert split_marked(text) == Parts("", text, "")


def test_spaces_and_line_breaks_around_marks_belong_to_no_part():
    assert split_marked(" and then\n[[ ate  soup ]]\n in ") == Parts("and then", "ate  soup", "in")


@pytest.mark.parametrize("word", ["[[", "]]", "a[[b", "[[so]]"])
def test_a_word_with_marks_of_its_own_is_named(tables, word):
    tables["words"].loc[6, "word"] = word
    marked = SegmentationSettings(kind="words", before=1, mark=True)
    with pytest.raises(BadInput) as caught:
        segment_tables(**tables, settings=marked)
    assert f"story b: word number 1, `{word}`, holds `[[` or `]]`" in str(caught.value)
    segments, _ = segment_tables(**tables, settings=SegmentationSettings(kind="words"))
    assert word in segments["text"].tolist()


def test_a_sentence_of_the_transcript_with_marks_of_its_own_is_named(tables):
    tables["sentences"].loc[1, "text"] = "So [[we]]!"
    with pytest.raises(BadInput, match="story a: sentence number 1"):
        segment_tables(**tables, settings=SegmentationSettings(kind="sentence", mark=True))


def test_the_same_words_in_other_context_are_segments_of_their_own(tables):
    marked = SegmentationSettings(kind="words", before=1, after=1, mark=True)
    segments, occurrences = segment_tables(**tables, settings=marked)
    assert segments["text"].tolist() == [
        *[
            "[[so]] we",
            "so [[we]] did",
            "we [[did]]",
            "so [[we]] went",
            "we [[went]] so",
            "went [[so]] we",
            "so [[we]]",
        ],
    ]
    assert len(occurrences) == 8
