"""Which tier holds the words: by what aligners call it, by its labels, by the setting; never by its place."""

import re

import pytest
from praatio import textgrid

from qaemb.datasets.textgrid import read_words
from qaemb.datasets.words import LabelRules
from qaemb.errors import BadInput
from qaemb.settings import DatasetSettings


def listed(text, separator=" "):
    return text.split(separator)


TEXT = listed("we bought a green kite and flew it over the long beach until the wind was gone")
PHONES = listed("W IY1 B AO1 T AH0 G R IY1 N K AY1 T AE1 N D F L UW1 IH1 T")
SYLLABLES = listed("vi bO:t @ gri:n kaIt {nd flu: It @U v@ D@ lON")
IPA = listed("wi bɔːt ə ɡɹiːn kaɪt ənd fluː ɪt əʊvə ðə")


def evenly(labels, end=10.0):
    """Return silence, then the labels one after the other, then silence."""
    step = min((end - 2) / len(labels), 0.5)
    edges = [round(1 + step * i, 4) for i in range(len(labels) + 1)]
    spoken = list(zip(edges[:-1], edges[1:], labels, strict=True))
    return [(0, 1, ""), *spoken, (edges[-1], end, "")]


@pytest.fixture
def write(tmp_path):
    def writing(*tiers):
        grid = textgrid.Textgrid()
        for name, labels in tiers:
            entries = labels if isinstance(labels[0], tuple) else evenly(labels)
            unique = name
            while unique in grid.tierNames:
                unique += "#"
            grid.addTier(textgrid.IntervalTier(unique, entries, 0, 10))
        path = tmp_path / "a.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
        path.write_text(re.sub(r'(name = "[^"]*?)#+"', r'\1"', path.read_text()))
        return path

    return writing


NAMES = listed(
    "words,word,Word,WORDS, words ,'words',“Words”,Ann - words,words - Ann,Ann - word,John Smith - words,WordTier,"
    "SPEAKER_01 - word,X/word,word/X,words (Ann),Ann_words,words-Ann,Mas - words,WRD,wrd,ORT,ORT-MAU,word_tier,"
    "ort-mau,words tier,word-level,words1,Ann: words,mots,Wort,Wörter,palabras,TokensAlign,word alignment,слова,词",
    ",",
)


@pytest.mark.parametrize("words_first", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_names_of_aligners(write, name, words_first):
    tiers = [("KAN-MAU", SYLLABLES), (name, TEXT), ("other", PHONES), ("utterances", [" ".join(TEXT)])]
    words = read_words(write(*(tiers if words_first else tiers[::-1])))
    assert words["word"].tolist() == TEXT
    assert words.attrs["notes"] == []


NO_WORDS = [
    ("phones", PHONES),
    ("Ann - phones", PHONES),
    ("MAU", PHONES),
    ("PHN", PHONES),
    ("KAN-MAU", SYLLABLES),
    ("syllables", ["win", "dow", "sill", "en", "ter"] * 3),
    ("A", PHONES),
    ("A", [phone.lower() for phone in PHONES]),
    ("A", SYLLABLES),
    ("A", IPA),
    ("A", listed("w iː b ɔː t ə ɡ ɹ iː n")),
    ("A", ["We bought a green kite", "and flew it", "yes"]),
    ("word class", ["noun", "verb", "noun", "determiner", "verb"]),
    ("content words", ["bought", "kite", "flew"]),
    ("A", ["noun", "verb", "determiner", "noun"] * 20),
    ("F0", [str(120.5 + i) for i in range(20)]),
    ("words", [" ".join(TEXT[:8]), " ".join(TEXT[8:])]),
    ("words", PHONES),
]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("tier", NO_WORDS, ids=lambda tier: f"{tier[0]}: {tier[1][0]}")
def test_other_tiers_are_never_taken(write, tier, place):
    tiers = [("silent", [(0, 10, "")])]
    tiers.insert(place, tier)
    with pytest.raises(BadInput, match=rf"its tiers: .*{place + 1} `{tier[0]}` \("):
        read_words(write(*tiers))


def test_a_tier_of_unknown_name_is_taken_for_its_labels_and_said(write):
    words = read_words(write(("Ann", TEXT), ("mine", PHONES)))
    assert words["word"].tolist() == TEXT
    (note,) = words.attrs["notes"]
    assert note.startswith(
        "tier `Ann` is taken for the words because of its labels, not of its name; its tiers: 1 `Ann`"
    )


TWO = [("Ann - words", TEXT), ("Ann - phones", PHONES), ("Bob - words", ["hello", "there"]), ("Bob - phones", PHONES)]


@pytest.mark.parametrize(
    "tiers", [TWO, [("words", TEXT), ("words", ["hello"])], [("Ann", TEXT), ("Bob", ["hello", "there", "again"])]]
)
def test_several_tiers_of_words_are_refused_with_the_list(write, tiers):
    with pytest.raises(BadInput, match=rf"its tiers: 1 `{tiers[0][0]}` \(17 labels\).*; .*dataset\.words_tier"):
        read_words(write(*tiers))


def test_a_speaker_who_says_nothing_is_no_candidate(write):
    path = write(("Ann - words", TEXT), ("Bob - words", [(0, 10, "sp")]))
    assert read_words(path)["word"].tolist() == TEXT


def test_another_tier_that_looks_like_words_is_named(write):
    words = read_words(write(("Ann - words", TEXT), ("Bob", ["hello", "there", "again"])))
    assert words["word"].tolist() == TEXT
    assert "`Bob` may hold words, too, and is not read" in words.attrs["notes"][0]


@pytest.mark.parametrize("name", ["Bob - words", "bob -  WORDS", '"Bob - words"', 3, "Bob*words", ["Bob - words"]])
def test_the_setting_names_one(write, name):
    rules = LabelRules.of(section(words_tier=name))
    assert read_words(write(*TWO), rules)["word"].tolist() == ["hello", "there"]


@pytest.mark.parametrize("names", [["Ann - words", "Bob - words"], "* - words", [1, 3], ["Bob - words", "ann*words"]])
def test_the_setting_joins_several_in_order_of_time(write, names):
    tiers = dict(TWO) | {"Bob - words": [(0, 2.2, ""), (2.2, 2.4, "hello"), (2.4, 9.6, ""), (9.6, 9.9, "there")]}
    words = read_words(write(*tiers.items()), LabelRules.of(section(words_tier=names)))
    assert sorted(words["word"]) == sorted([*TEXT, "hello", "there"])
    middle = (words["onset_s"] + words["offset_s"]) / 2
    assert middle.is_monotonic_increasing
    assert words["word"].tolist()[3] == "hello"
    assert "overlaps the word before it" in words.attrs["notes"][0]


def test_names_that_no_tier_has(write):
    path = write(*TWO)
    with pytest.raises(BadInput, match="no tier is called `Carl`, which dataset.words_tier names; its tiers: 1 `"):
        read_words(path, LabelRules(("Carl",)))
    words = read_words(path, LabelRules(("Ann - words", "Carl")))
    assert words.attrs["notes"] == ["no tier is called `Carl`, which dataset.words_tier names"]
    with pytest.raises(BadInput, match="holds utterances, not words"):
        read_words(write(("A", ["We bought a green kite"])), LabelRules(("A",)))


def section(**changes):
    values = {"name": "x", "adapter": "folder", "path": "x", "subjects": ["a"], "test_stories": ["b"]}
    return DatasetSettings.model_validate(values | changes)
