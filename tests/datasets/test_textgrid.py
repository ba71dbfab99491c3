import re

import pytest
from praatio import textgrid

from qaemb.datasets.textgrid import read_words
from qaemb.errors import BadInput

PHONES = [(0, 0.25, "sp"), (0.25, 0.5, "H"), (0.5, 0.75, "I"), (0.75, 1.5, ""), (1.5, 2, "N")]
WORDS = [(0, 0.25, "sp"), (0.25, 0.75, "HI"), (0.75, 1.0, "{BR}"), (1.0, 1.5, ""), (1.5, 2, "Don't")]
FORMS = ["long_textgrid", "short_textgrid"]


def write_grid(path, form="long_textgrid", tiers=(("phone", PHONES), ("word", WORDS))):
    """Write a TextGrid with praatio, which is independent of the writer of the generator."""
    grid = textgrid.Textgrid()
    for name, entries in tiers:
        grid.addTier(textgrid.IntervalTier(name, entries, 0, 2))
    grid.save(str(path), format=form, includeBlankSpaces=True)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_words_without_noises_in_lower_case(tmp_path, form):
    words = read_words(write_grid(tmp_path / "a.TextGrid", form))
    assert words.values.tolist() == [["hi", 0.25, 0.75], ["don't", 1.5, 2.0]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, encoding):
    path = write_grid(tmp_path / "a.TextGrid")
    path.write_bytes(path.read_text(encoding="utf-8").replace("HI", "CAFÉ").replace("\n", "\r\n").encode(encoding))
    assert read_words(path)["word"].tolist() == ["café", "don't"]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_anywhere_is_refused(tmp_path, form):
    whole = write_grid(tmp_path / "whole.TextGrid", form).read_text().rstrip()
    path = tmp_path / "cut.TextGrid"
    for length in range(len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(BadInput, match=re.escape(str(path))):
            read_words(path)


def test_a_cut_file_says_declared_and_found(tmp_path):
    path = write_grid(tmp_path / "a.TextGrid")
    text = path.read_text()
    path.write_text(text[: text.rindex("intervals [4]")])
    with pytest.raises(BadInput, match=r"declares 2 tiers of 5, 5 intervals, found 2 tiers of 5, 3 intervals"):
        read_words(path)


def test_the_second_tier_holds_the_words_if_no_name_says_so(tmp_path):
    path = write_grid(tmp_path / "a.TextGrid", tiers=(("one", PHONES), ("two", WORDS)))
    assert len(read_words(path)) == 2
    path = write_grid(tmp_path / "b.TextGrid", tiers=(("words", WORDS), ("other", PHONES)))
    assert len(read_words(path)) == 2


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ((("phone", PHONES), ("word", [(0, 1, "sp"), (1, 2, "{NS}")])), "no words"),
        ((("phone", PHONES),), "no tier of words"),
    ],
)
def test_grids_without_words(tmp_path, tiers, message):
    with pytest.raises(BadInput, match=message):
        read_words(write_grid(tmp_path / "a.TextGrid", tiers=tiers))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "xmax = 0.75",
            "xmax = 1.9",
            r"tier `word` is not in order of time: `\{BR\}` starts at 0.75 s, .* ends at 1.9 s",
        ),
        ("xmax = 0.75", "xmax = 0.1", r"tier `word`: `HI` at 0.25 s ends before it starts, at 0.1 s"),
    ],
)
def test_intervals_out_of_order_of_time(tmp_path, old, new, message):
    path = write_grid(tmp_path / "a.TextGrid")
    text = path.read_text()
    start = text.index('name = "word"')
    path.write_text(text[:start] + text[start:].replace(old, new))
    with pytest.raises(BadInput, match=message):
        read_words(path)


def test_whole_words_that_changed_places_are_not_sorted_silently(tmp_path):
    path = write_grid(tmp_path / "a.TextGrid", tiers=(("phone", PHONES), ("word", [(0, 1, "one"), (1, 2, "two")])))
    one, two = ("            xmin = 0 \n            xmax = 1 ", "            xmin = 1 \n            xmax = 2 ")
    path.write_text(path.read_text().replace(one, "@").replace(two, one).replace("@", two))
    with pytest.raises(BadInput, match="`two` starts at 0 s, the one before ends at 2 s"):
        read_words(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00", b"\x80\x81", b'File type = "ooTextFile"\n'])
def test_not_a_grid(tmp_path, content):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="a.TextGrid"):
        read_words(path)


def test_missing_file(tmp_path):
    with pytest.raises(BadInput, match=r"a\.TextGrid does not exist"):
        read_words(tmp_path / "a.TextGrid")
