"""Every form in which Praat saves a TextGrid gives the same words; a damaged one never gives others unsaid."""

import re
import struct

import numpy as np
import pytest

from qaemb.datasets.praat import read_grid
from qaemb.datasets.textgrid import read_words
from qaemb.errors import BadInput

PHONES = [(0, 0.2, ""), (0.2, 0.3, "W"), (0.3, 0.5, "IY1"), (0.5, 0.7, "K"), (0.7, 1.5, "AE1"), (1.5, 3, "")]
WORDS = [(0, 0.2, ""), (0.2, 0.5, "We"), (0.5, 0.9, "bought"), (0.9, 1.25, "Zoë's"), (1.25, 2, "kite"), (2, 3, "")]
TIERS = [("phones", PHONES), ("words", WORDS)]
EXPECTED = [["we", 0.2, 0.5], ["bought", 0.5, 0.9], ["zoë's", 0.9, 1.25], ["kite", 1.25, 2.0]]


def long_form(tiers=TIERS, end=3):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, (name, entries) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += ["        xmin = 0 ", f"        xmax = {end} ", f"        intervals: size = {len(entries)} "]
        for i, (start, stop, label) in enumerate(entries, start=1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start} ", f"            xmax = {stop} "]
            lines += [f'            text = "{label}" ']
    return "\n".join(lines) + "\n"


def short_form(tiers=TIERS, end=3):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", str(end), "<exists>", str(len(tiers))]
    for name, entries in tiers:
        lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(entries))]
        lines += [f'{start}\n{stop}\n"{label}"' for start, stop, label in entries]
    return "\n".join(lines) + "\n"


def chronological_form(tiers=TIERS, end=3):
    lines = [
        '"Praat chronological TextGrid text file"',
        f"0 {end}   ! Time domain.",
        f"{len(tiers)}   ! Number of tiers.",
    ]
    lines += [f'"IntervalTier" "{name}" 0 {end}' for name, _ in tiers]
    rows = sorted((row[0], i, row) for i, (_, entries) in enumerate(tiers, start=1) for row in entries)
    for _, i, (start, stop, label) in rows:
        lines += ["", f"! {tiers[i - 1][0]}:", f"{i} {start} {stop}", f'"{label}"']
    return "\n".join(lines) + "\n"


def binary_form(tiers=TIERS, end=3):
    def text(value):
        if value.isascii():
            return struct.pack(">H", len(value)) + value.encode()
        return struct.pack(">HH", 0xFFFF, len(value)) + value.encode("utf-16-be")

    parts = [b"ooBinaryFile\x08TextGrid", struct.pack(">dd?i", 0, end, True, len(tiers) + 1)]
    for name, entries in tiers:
        parts += [b"\x0cIntervalTier", text(name), struct.pack(">ddi", 0, end, len(entries))]
        parts += [struct.pack(">dd", start, stop) + text(label) for start, stop, label in entries]
    parts += [b"\x08TextTier", text("laughs"), struct.pack(">ddi", 0, end, 1), struct.pack(">d", 0.3), text("ha")]
    return b"".join(parts)


@pytest.fixture
def read(tmp_path):
    def reading(content):
        path = tmp_path / "a.TextGrid"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        words = read_words(path)
        return words.values.tolist(), words.attrs["notes"]

    return reading


LONG, SHORT, CHRONOLOGICAL = long_form(), short_form(), chronological_form()
FORMS = {"long": LONG, "short": SHORT, "chronological": CHRONOLOGICAL}
WHOLE = {
    "long": LONG,
    "short": SHORT,
    "chronological": CHRONOLOGICAL,
    "binary": binary_form(),
    "scientific": LONG.replace("xmin = 0.2 ", "xmin = 2e-1 ").replace("xmin = 0 ", "xmin = 0.0E0 "),
    "a comment in the header": LONG.replace("xmax = 3 ", 'xmax = 3 ! of the "sound', 1),
    "comments on lines of their own": SHORT.replace('"IntervalTier"', '! 3 "tier"\n"IntervalTier"'),
    "no blank line": SHORT.replace("\n\n", "\n", 1),
    "the header of old short files": SHORT.replace('"ooTextFile"\nObject class = ', '"ooTextFile short"\n', 1),
    "no blanks around =": LONG.replace(" = ", "=").replace("[", " ["),
    "everything on one line": SHORT.replace("\n", " "),
    "blank lines": LONG.replace("\n", "\n\n"),
    "old Mac line ends": LONG.replace("\n", "\r"),
    "Windows line ends": SHORT.replace("\n", "\r\n"),
    "UTF-8 with a mark": LONG.encode("utf-8-sig"),
    "UTF-16 with a mark": LONG.encode("utf-16"),
    **{
        f"{encoding} without a mark, {form}": text.encode(encoding)
        for encoding in ("utf-16-le", "utf-16-be")
        for form, text in FORMS.items()
    },
    "words first": long_form(TIERS[::-1]),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_what_praat_reads_is_read(read, content):
    assert read(content) == (EXPECTED, [])


@pytest.mark.parametrize(("encoding", "name"), [("latin-1", "Windows-1252"), ("mac_roman", "MacRoman")])
@pytest.mark.parametrize("form", FORMS)
def test_other_encodings_are_guessed_and_said(read, encoding, name, form):
    words, (note,) = read(FORMS[form].replace("\n", "\r").encode(encoding))
    assert words == EXPECTED
    assert note == f"is neither UTF-8 nor UTF-16; read as {name}, with the letters ë; check them"


def test_doubled_quotes_and_labels_over_lines(read):
    words, _ = read(LONG.replace('"kite"', '"""ki""te"""').replace('"bought"', '"bought\n"'))
    assert [word for word, *_ in words] == ["we", "bought", "zoë's", '"ki"te"']


def counts(text, old, new):
    start = text.index('"words"')
    return text[:start] + re.sub(old, new, text[start:], count=1)


@pytest.mark.parametrize("n", [2, 5, 7, 60])
@pytest.mark.parametrize("form", ["long", "short"])
def test_a_wrong_number_of_intervals_is_said(read, form, n):
    words, notes = read(counts(FORMS[form], r"\b6\b", str(n)))
    assert (words, notes) == (EXPECTED, [f"tier `words` declares {n} intervals, but 6 are there; all are read"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LONG.replace("size = 2 ", "size = 3 "), "declares 3 tiers of 6, 6, unknown intervals, found 2 tiers of 6, 6"),
        (LONG[: LONG.rindex("intervals [6]")], "declares 2 tiers of 6, 6 intervals, found 2 tiers of 6, 5"),
        (LONG[: LONG.rindex("text = ")], "line 67: it ends where a text in quotes should follow: cut off"),
        (LONG[:-3], "line 68: a quote opens here and never closes: cut off"),
        (
            "\n".join(line for i, line in enumerate(LONG.split("\n")) if i not in range(52, 56)),
            "tier `words` declares 6 intervals, found 5, and nothing stands between 0.5 and 0.9 s: entries are lost",
        ),
        (LONG.replace("xmax = 0.9", "xmax = 0,9"), "line 55: `0,9` is not a number"),
        (LONG.replace("xmax = 0.9", "xmax = 1e999"), "line 55: `1e999` is not a number"),
        (LONG.replace('"TextGrid"', '"Sound 2"'), "holds a Praat object of class `Sound 2`, no TextGrid"),
        (LONG.replace("<exists>", "<absent>"), "has no tiers"),
        (LONG.encode("utf-16")[:-1], "is UTF-16 text, but cut off or damaged"),
        (binary_form()[:-3], "is in Praat's binary form and can't be read to the end .*: cut off or damaged"),
        (b"ooBinaryFile\x05Sound", "holds a Praat object of class `Sound`, no TextGrid"),
    ],
)
def test_the_true_reason(read, text, message):
    with pytest.raises(BadInput, match=message):
        read(text)


def test_more_tiers_than_declared_are_read_and_said(read):
    words, notes = read(LONG.replace("size = 2 ", "size = 1 "))
    assert (words, notes) == (EXPECTED, ["declares 1 tiers, but 2 are there; all are read"])


def test_a_binary_file_cut_anywhere_is_refused(read):
    whole = binary_form()
    for length in range(len(whole)):
        with pytest.raises(BadInput, match=r"a\.TextGrid"):
            read(whole[:length])


def test_points_beside_the_words(tmp_path):
    path = tmp_path / "a.TextGrid"
    points = '"TextTier"\n"laughs"\n0\n3\n2\n0.3\n"ha"\n1.5\n"ho"\n'
    path.write_text(SHORT.replace("<exists>\n2", "<exists>\n3") + points)
    tier = read_grid(path).tiers[2]
    assert (tier.is_intervals, tier.entries) == (False, [(0.3, 0.3, "ha"), (1.5, 1.5, "ho")])
    assert read_words(path).values.tolist() == EXPECTED


def test_tiny_overlaps_are_said(read):
    words, notes = read(LONG.replace("xmin = 0.9 ", "xmin = 0.85 "))
    assert words[2] == ["zoë's", 0.85, 1.25]
    assert notes == ["`zoë's` at 0.85 s overlaps the word before it, which ends at 0.9 s"]


def test_silences_that_end_before_they_start_have_no_consequence(read):
    silence = '            xmin = 2.02 \n            xmax = 2.0 \n            text = "" \n        intervals [7]:\n'
    text = counts(LONG, "size = 6", "size = 7")
    place = text.rindex("            xmin")
    assert read(text[:place] + silence + text[place:]) == (EXPECTED, [])


def test_a_start_before_zero_stays_where_it_is(read):
    words, notes = read(
        long_form([("words", [(-0.3, 0.5, "We"), (0.5, 3, "stay")])]).replace("xmin = 0 ", "xmin = -0.3 ")
    )
    assert words == [["we", -0.3, 0.5], ["stay", 0.5, 3]]
    assert notes == ["`we` at -0.3 s starts before time 0; it stays there"]


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_time_is_said(read, form):
    """One digit of one time: the intervals of a tier meet, so that a time that fits no other is noticed."""
    text = FORMS[form]
    start = text.index('"words"')
    for match in re.finditer(r"(?<![\d.\[])\d\.\d+", text[start:]):
        place = start + match.end() - 1
        changed = text[:place] + str((int(text[place]) + 3) % 10) + text[place + 1 :]
        try:
            words, notes = read(changed)
        except BadInput:
            continue
        assert words == EXPECTED or notes, changed


LABELS = [f'"{label}"'.encode() for _, entries in TIERS for *_, label in entries]


def places_outside_labels(raw):
    inside = np.zeros(len(raw), dtype=bool)
    for label in set(LABELS):
        for match in re.finditer(re.escape(label), raw):
            inside[match.start() + 1 : match.end()] = True
    return np.flatnonzero(~inside)


def damaged(rng, raw):
    """Return a copy with one to three faults: bytes, lines, the end, numbers that are declared.

    Left out are letters inside labels: no reader can know what stood there.
    """
    for _ in range(rng.integers(1, 4)):
        lines = raw.split(b"\n")
        kind, at = rng.integers(6), int(rng.integers(len(lines)))
        place = int(rng.choice(places_outside_labels(raw))) if raw else 0
        if kind == 0 and raw:
            raw = raw[:place] + bytes([raw[place] ^ (1 << int(rng.integers(8)))]) + raw[place + 1 :]
        elif kind == 1:
            raw = b"\n".join(lines[:at] + lines[at + int(rng.integers(1, 5)) :])
        elif kind == 2:
            raw = b"\n".join(lines[: at + 1] + lines[at : at + int(rng.integers(1, 5))] + lines[at + 1 :])
        elif kind == 3:
            raw = raw[: int(rng.integers(len(raw) // 2, len(raw) + 1))]
        elif kind == 4:
            raw = re.sub(rb"\b[26] ?\n", b"%d\n" % rng.integers(0, 12), raw, count=int(rng.integers(1, 4)))
        else:
            raw = raw[:place] + bytes(rng.integers(32, 256, int(rng.integers(1, 4)), dtype=np.uint8)) + raw[place:]
    return raw


@pytest.mark.parametrize("form", FORMS)
def test_random_damage_never_gives_other_words_unsaid(read, form):
    rng = np.random.default_rng(15)
    outcomes = dict.fromkeys(["equal", "equal, said", "other, said", "refused"], 0)
    for _ in range(500):
        raw = damaged(rng, FORMS[form].encode())
        try:
            words, notes = read(raw)
        except BadInput:
            outcomes["refused"] += 1
            continue
        assert words == EXPECTED or notes, raw.decode(errors="replace")
        outcomes[("equal" if words == EXPECTED else "other") + (", said" if notes else "")] += 1
    assert outcomes["equal"] > 0, outcomes
    assert outcomes["refused"] > 0, outcomes
    assert outcomes["equal, said"] + outcomes["other, said"] > 0 or form == "chronological", outcomes
