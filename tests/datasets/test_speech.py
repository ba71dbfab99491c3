import re
from itertools import pairwise

import numpy as np
import pytest
from praatio import textgrid as praatio_textgrid

from qaemb.datasets.miniature.speech import WORDS_PER_S, speak, textgrid
from qaemb.datasets.miniature.stories import read_stories
from qaemb.datasets.textgrid import read_words


@pytest.fixture
def story(story_source):
    names = [line.split("id: ")[1].split(",")[0] for line in (story_source / "properties.yaml").open() if "id:" in line]
    return read_stories(story_source / "stories", names)[0]


@pytest.fixture
def speech(story):
    return speak(story, np.random.default_rng(3))


def test_words_follow_each_other_at_the_stated_pace(speech):
    assert (speech.offset_ms > speech.onset_ms).all()
    assert (speech.onset_ms[1:] >= speech.offset_ms[:-1]).all()
    assert speech.onset_ms[0] > 0
    assert speech.duration_ms > speech.offset_ms[-1]
    assert len(speech.words) / (speech.duration_ms / 1000) == pytest.approx(WORDS_PER_S, rel=0.041)


def test_pauses_are_longest_at_the_end_of_a_paragraph(story, speech):
    gaps = (speech.onset_ms[1:] - speech.offset_ms[:-1]) / 1000
    ends = np.cumsum([len(sentence.words) for sentence in story.sentences])[:-1] - 1
    paragraph = np.array([sentence.ends_paragraph for sentence in story.sentences[:-1]])
    inside = np.delete(gaps, ends)
    assert gaps[ends[paragraph]].min() > gaps[ends[~paragraph]].max() > gaps[ends[~paragraph]].min() > inside.max()
    assert (inside == 0).mean() > 0.6


def test_longer_words_last_longer(speech):
    length = np.array([len(word) for word in speech.words])
    assert np.corrcoef(length, speech.offset_ms - speech.onset_ms)[0, 1] > 0.7


def test_the_grid_read_by_plain_code_is_the_speech(speech):
    """Oracle: the file taken apart with regular expressions, without the reader and without praatio."""
    phone, word = textgrid(speech).split('name = "word"')
    pattern = re.compile(r"intervals \[(\d+)\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = \"(.*)\"")
    for text in (phone, word):
        entries = [(int(n), float(a), float(b), label) for n, a, b, label in pattern.findall(text)]
        assert int(re.search(r"intervals: size = (\d+)", text).group(1)) == len(entries)
        assert [n for n, *_ in entries] == list(range(1, len(entries) + 1))
        assert entries[0][1] == 0
        assert entries[-1][2] == speech.duration_ms / 1000
        assert all(before[2] == after[1] for before, after in pairwise(entries))
    spoken = [(label.lower(), a, b) for _, a, b, label in entries if label != "sp"]
    assert spoken == list(
        zip(speech.words, (speech.onset_ms / 1000).tolist(), (speech.offset_ms / 1000).tolist(), strict=True)
    )


def test_the_grid_read_back_is_the_speech(tmp_path, speech):
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(speech))
    words = read_words(path)
    assert words["word"].tolist() == speech.words
    np.testing.assert_allclose(words["onset_s"] * 1000, speech.onset_ms, atol=1e-6)
    np.testing.assert_allclose(words["offset_s"] * 1000, speech.offset_ms, atol=1e-6)


def test_phones_are_the_letters_of_the_words(tmp_path, speech):
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(speech))
    phones = praatio_textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error").tiers[0]
    letters = "".join(entry.label for entry in phones.entries if entry.label != "sp")
    assert letters == "".join(speech.words).replace("'", "").upper()
