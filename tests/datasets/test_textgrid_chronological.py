"""The chronological form: against a file as Praat writes it, and against praatio's reading of the long form."""

import re

import numpy as np
import pytest
from praatio import textgrid

from qaemb.datasets.praat import read_grid
from qaemb.datasets.textgrid import read_words
from qaemb.errors import BadInput

# As Praat saves it: entries by time, a comment before each, quotes doubled.
BY_HAND = """"Praat chronological TextGrid text file"
0 2   ! Time domain.
3   ! Number of tiers.
"IntervalTier" "phone" 0 2
"IntervalTier" "word" 0 2
"TextTier" "laughs" 0 2

! phone:
1 0 0.5
"sp"

! word:
2 0 0.75
"SAY ""YES"" ! NOW"

! laughs:
3 0.3
"ha"

! phone:
1 0.5 2
""

! word:
2 0.75 2
"Don't"
"""


def chronological(tiers):
    """Return interval tiers (name, entries, end) in the chronological form."""
    lines = ['"Praat chronological TextGrid text file"', f"0 {tiers[0][2]}", str(len(tiers))]
    lines += [f'"IntervalTier" "{name}" 0 {end}' for name, _, end in tiers]
    entries = [(entry[0], number, entry) for number, (_, own, _) in enumerate(tiers, start=1) for entry in own]
    for _, number, (start, end, label) in sorted(entries, key=lambda item: item[:2]):
        lines += ["", f"! {tiers[number - 1][0]}:", f"{number} {start} {end}", '"' + label.replace('"', '""') + '"']
    return "\n".join(lines) + "\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.TextGrid"


def test_a_file_as_praat_writes_it(path):
    path.write_text(BY_HAND)
    phones, words, laughs = read_grid(path).tiers
    assert (phones.name, phones.is_intervals, phones.end) == ("phone", True, 2)
    assert phones.entries == [(0, 0.5, "sp"), (0.5, 2, "")]
    assert words.entries == [(0, 0.75, 'SAY "YES" ! NOW'), (0.75, 2, "Don't")]
    assert (laughs.is_intervals, laughs.entries) == (False, [(0.3, 0.3, "ha")])
    assert read_words(path).values.tolist() == [['say "yes" ! now', 0, 0.75], ["don't", 0.75, 2]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_line_ends(path, encoding):
    path.write_bytes(BY_HAND.replace("Don't", "CAFÉ").replace("\n", "\r\n").encode(encoding))
    assert read_words(path)["word"].tolist()[1] == "café"


@pytest.mark.parametrize("seed", range(5))
def test_it_reads_what_praatio_reads_from_the_long_form(path, tmp_path, seed):
    rng = np.random.default_rng(seed)
    tiers = []
    for name in ("phone", "word"):
        edges = [0, *np.sort(rng.integers(1, 9999, 20)) / 1000, 10]
        edges = sorted(set(edges))
        labels = rng.choice(["sp", "", 'a "b"', "!", "é", "two words", "7", "IntervalTier"], len(edges) - 1)
        tiers.append((name, list(zip(edges[:-1], edges[1:], labels.tolist(), strict=True)), 10))
    grid = textgrid.Textgrid()
    for name, entries, end in tiers:
        grid.addTier(textgrid.IntervalTier(name, entries, 0, end))
    grid.save(str(tmp_path / "long.TextGrid"), format="long_textgrid", includeBlankSpaces=True)
    path.write_text(chronological(tiers))
    assert read_grid(path).tiers == read_grid(tmp_path / "long.TextGrid").tiers


def test_a_file_cut_anywhere_is_refused(path):
    whole = BY_HAND.rstrip()
    for length in range(len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(BadInput, match=re.escape(str(path))):
            read_grid(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('2 0.75 2\n"Don\'t"\n', "", "tier `word` should reach 2 s, found intervals up to 0.75 s"),
        ("2 0.75 2", "2 0.8 2", "line 25: tier `word` goes on at 0.8 s, but the interval before ends at 0.75 s"),
        ("2 0.75 2", "4 0.75 2", "line 25: entry of tier 4, but there are 3 tiers"),
        ("3 0.3", "3 soon", "line 17: a number should stand here, not `soon`"),
        ("3 0.3", "3 0.3.4", r"line 17: `0.3.4` is not a number"),
        ("3   !", "3.5   !", "line 3: 3.5 should be a whole number"),
        ('"TextTier"', '"Points"', "line 6: a tier is an IntervalTier or a TextTier, not `Points`"),
        ('"ha"', "ha", "line 18: a text in quotes should stand here, not `ha`"),
    ],
)
def test_wrong_files_name_the_line(path, old, new, message):
    assert old in BY_HAND
    path.write_text(BY_HAND.replace(old, new))
    with pytest.raises(BadInput, match=message):
        read_grid(path)
