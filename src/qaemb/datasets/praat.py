"""The forms in which Praat saves a TextGrid: long, short and chronological text, and binary.

Praat reads the text forms as a stream of strings in double quotes (a quote inside is doubled), free-standing numbers
and flags such as `<exists>`. A comment goes from `!` to the end of the line, and all other words are left out. So one
tokenizer reads all three forms. The long and the short form declare how many tiers and entries follow. Here the
structure of the stream decides, and a declared number that differs is a note, or an error where entries are lost. The
chronological form declares no number of entries, but the intervals of a tier cover it without gaps.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from qaemb.errors import BadInput

_CHRONOLOGICAL = "Praat chronological TextGrid text file"
_BINARY = b"ooBinaryFile"
_TOLERANCE_S = 1e-6
_TOKEN = re.compile(
    r'\s*(?:!(?P<comment>.*)|"(?P<text>(?:[^"]|"")*+)"|(?P<open>")|(?P<flag><[^>\s]*>)'
    r'|(?P<number>[-+]?\.?[0-9][^\s"!]*)|(?P<word>[^\s"=]+=?|=))'
)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# Letters and quotes that tell in which one-byte encoding a text makes sense.
_PLAUSIBLE = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœ’‘“”…¿¡")


@dataclass(frozen=True)
class Tier:
    """A tier in the order of the file: entries (start, end, label) in seconds; a point starts and ends at its time."""

    name: str
    is_intervals: bool
    start: float
    end: float
    entries: list[tuple[float, float, str]]

    @property
    def reached(self) -> float:
        """The end of the last entry, or the start of a tier without entries."""
        return self.entries[-1][1] if self.entries else self.start

    def holes(self) -> list[tuple[float, float]]:
        """Return the gaps (start, end) between intervals, in the order of the file."""
        ends = [self.start, *(entry[1] for entry in self.entries)]
        return [
            (end, entry[0]) for end, entry in zip(ends, self.entries, strict=False) if entry[0] > end + _TOLERANCE_S
        ]


@dataclass(frozen=True)
class _Grid:
    """The tiers of a TextGrid, and what a user should know about the file: wrong counts, a guessed encoding."""

    tiers: list[Tier]
    notes: list[str]


def read_grid(path: Path) -> _Grid:
    """Return the tiers of a TextGrid in any form of Praat, in UTF-8, UTF-16, Windows-1252 or MacRoman.

    BadInput names the file if it is missing, no TextGrid, cut off or damaged, with the line and the reason.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise BadInput(f"{path} does not exist; fetch it or leave the story out") from error
        raise BadInput(f"{path} can't be read: {error.strerror or error}") from error
    if raw.startswith(_BINARY):
        return _read_binary(path, raw)
    text, notes = _decode(path, raw)
    draft = _Draft()
    try:
        if text.lstrip().startswith(f'"{_CHRONOLOGICAL}"'):
            _parse_chronological(_Tokens(text, strict=True), draft)
        else:
            _parse_counted(path, _Tokens(text), draft)
    except ValueError as error:
        declared = f"{path} declares {draft.declared()}, but " if draft.n_tiers is not None else f"{path}: "
        raise BadInput(f"{declared}{error}: cut off or damaged; fetch it again") from error
    return _Grid(draft.tiers, notes + draft.count_notes(path))


@dataclass
class _Draft:
    """The tiers of a text form while they are read; `counts` are the declared entries, None where none is declared."""

    n_tiers: int | None = None
    tiers: list[Tier] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)
    is_counted: bool = True

    def declared(self) -> str:
        unknown: list[int | None] = [None] * ((self.n_tiers or 0) - len(self.counts))
        return _counts(self.n_tiers or 0, self.counts + unknown if self.is_counted else [])

    def count_notes(self, path: Path) -> list[str]:
        """Return where declared and real numbers differ; BadInput where that means that entries are lost."""
        sizes = [len(tier.entries) for tier in self.tiers]
        if len(self.tiers) < (self.n_tiers or 0) or self._ends_early(sizes):
            real = _counts(len(sizes), list(sizes) if self.is_counted else [])
            raise BadInput(f"{path} declares {self.declared()}, found {real}: cut off; fetch it again")
        notes = []
        if len(self.tiers) > (self.n_tiers or 0):
            notes.append(f"declares {self.n_tiers} tiers, but {len(self.tiers)} are there; all are read")
        for tier, count, size in zip(self.tiers, self.counts, sizes, strict=True):
            if count is None or count == size:
                continue
            message = f"tier `{tier.name}` declares {count} {'intervals' if tier.is_intervals else 'points'}"
            if size < count and tier.is_intervals and tier.holes():
                start, end = tier.holes()[0]
                raise BadInput(
                    f"{path}: {message}, found {size}, and nothing stands between {start:g} and {end:g} s: entries are "
                    "lost; fetch it again"
                )
            notes.append(f"{message}, but {size} are there; all are read")
        return notes

    def _ends_early(self, sizes: list[int]) -> bool:
        """Return whether the last tier lacks entries at its end."""
        if not self.tiers or self.counts[-1] is None or sizes[-1] >= self.counts[-1]:
            return False
        return not self.tiers[-1].is_intervals or self.tiers[-1].reached < self.tiers[-1].end - _TOLERANCE_S


def _counts(n_tiers: int, counts: list[int | None]) -> str:
    sizes = ", ".join("unknown" if count is None else str(count) for count in counts)
    return f"{n_tiers} tiers" + (f" of {sizes} intervals" if sizes else "")


def _require_textgrid(path: Path, kind: str) -> None:
    if kind != "TextGrid":
        raise BadInput(f"{path} holds a Praat object of class `{kind}`, no TextGrid; save the TextGrid alone")


def _parse_counted(path: Path, tokens: _Tokens, draft: _Draft) -> None:
    """Read the long or the short form; ValueError says what is wrong, and in which line."""
    if tokens.kind != "text" or tokens.text() not in ("ooTextFile", "ooTextFile short"):
        raise BadInput(
            f"{path} is no TextGrid in the long, short, chronological or binary form: "
            '`File type = "ooTextFile"` is missing'
        )
    _require_textgrid(path, tokens.text())
    tokens.number(), tokens.number()
    if tokens.flag() != "<exists>":
        raise BadInput(f"{path} has no tiers")
    draft.n_tiers = tokens.integer()
    while tokens.kind is not None:
        tier = _head(tokens)
        draft.tiers.append(tier)
        draft.counts.append(None)  # so that a message says `unknown` if the number is missing
        draft.counts[-1] = tokens.integer()
        while tokens.kind == "number":
            tier.entries.append(_entry(tokens, tier))


def _parse_chronological(tokens: _Tokens, draft: _Draft) -> None:
    """Read the chronological form; ValueError says what is wrong, and where it can, in which line."""
    draft.is_counted = False
    tokens.text()
    tokens.number(), tokens.number()
    n_tiers = tokens.integer()
    while tokens.kind == "text":
        draft.tiers.append(_head(tokens))
        draft.counts.append(None)
    draft.n_tiers = n_tiers
    while tokens.kind is not None:
        number = tokens.integer()
        if not 1 <= number <= len(draft.tiers):
            raise ValueError(f"line {tokens.line}: entry of tier {number}, but there are {len(draft.tiers)} tiers")
        tier = draft.tiers[number - 1]
        line = tokens.line
        start, end, label = _entry(tokens, tier)
        if tier.is_intervals and start > tier.reached + _TOLERANCE_S:
            raise ValueError(
                f"line {line}: tier `{tier.name}` goes on at {start:g} s, but the interval before ends at "
                f"{tier.reached:g} s"
            )
        tier.entries.append((start, end, label))
    for tier in draft.tiers:
        if tier.is_intervals and abs(tier.reached - tier.end) > _TOLERANCE_S:
            raise ValueError(
                f"tier `{tier.name}` should reach {tier.end:g} s, found intervals up to {tier.reached:g} s"
            )


def _head(tokens: _Tokens) -> Tier:
    kind = tokens.text()
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"line {tokens.line}: a tier is an IntervalTier or a TextTier, not `{kind[:40]}`")
    return Tier(tokens.text(), kind == "IntervalTier", tokens.number(), tokens.number(), [])


def _entry(tokens: _Tokens, tier: Tier) -> tuple[float, float, str]:
    start = tokens.number()
    end = tokens.number() if tier.is_intervals else start
    return start, end, tokens.text().strip()


class _Tokens:
    """The strings, numbers and flags of a text, one after the other.

    `kind` is the kind of the next one (None at the end), `line` is where the last one ended. In a strict text no other
    words may stand between them.
    """

    def __init__(self, text: str, strict: bool = False) -> None:
        self._text = text
        skipped = {None, "comment"} if strict else {None, "comment", "word"}
        self._tokens = (match for match in _TOKEN.finditer(text) if match.lastgroup not in skipped)
        self._next = next(self._tokens, None)
        self._position = 0

    @property
    def kind(self) -> str | None:
        return None if self._next is None else self._next.lastgroup

    @property
    def line(self) -> int:
        return self._text.count("\n", 0, self._position) + 1

    def text(self) -> str:
        return self._take("text", "a text in quotes").replace('""', '"')

    def flag(self) -> str:
        return self._take("flag", "`<exists>`")

    def number(self) -> float:
        value = self._take("number", "a number")
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise ValueError(f"line {self.line}: `{value[:40]}` is not a number")
        return float(value)

    def integer(self) -> int:
        value = self.number()
        if value != int(value):
            raise ValueError(f"line {self.line}: {value:g} should be a whole number")
        return int(value)

    def _take(self, kind: str, description: str) -> str:
        if self._next is None:
            raise ValueError(f"line {self.line}: it ends where {description} should follow")
        match, self._next = self._next, next(self._tokens, None)
        self._position = match.end()
        if match.lastgroup == "open":
            raise ValueError(f"line {self.line}: a quote opens here and never closes")
        if match.lastgroup != kind:
            shown = match[0].strip().split("\n")[0][:40]
            raise ValueError(f"line {self.line}: {description} should stand here, not `{shown}`")
        return match[kind]


def _decode(path: Path, raw: bytes) -> tuple[str, list[str]]:
    """Return the text of a file with plain line ends, and a note if its encoding had to be guessed."""
    notes: list[str] = []
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = raw.decode("utf-16")
        elif len(raw) > 1 and 0 in raw[:2]:  # without a mark; a TextGrid begins with an ASCII letter or quote
            text = raw.decode("utf-16-le" if raw[1] == 0 else "utf-16-be")
        else:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):
            raise BadInput(f"{path} is UTF-16 text, but cut off or damaged ({error}); fetch it again") from error
        if b"ooTextFile" not in raw[:200] and _CHRONOLOGICAL.encode() not in raw[:200]:
            raise BadInput(f"{path} is neither UTF-8 nor UTF-16 text ({error}); save it as UTF-8") from error
        name, text = _decode_one_byte(raw)
        letters = "".join(sorted({letter for letter in text if ord(letter) > 127}))
        notes.append(f"is neither UTF-8 nor UTF-16; read as {name}, with the letters {letters[:40]}; check them")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _decode_one_byte(raw: bytes) -> tuple[str, str]:
    """Return the name of the encoding that fits better, Windows-1252 (more than Latin-1) or MacRoman, and the text.

    Where both fit, line ends of old Macs speak for MacRoman.
    """
    windows, mac = raw.decode("cp1252", errors="replace"), raw.decode("mac_roman")
    advantage = _plausibility(mac) - _plausibility(windows)
    is_mac = advantage > 0 or (advantage == 0 and b"\r" in raw and b"\n" not in raw)
    return ("MacRoman", mac) if is_mac else ("Windows-1252", windows)


def _plausibility(text: str) -> int:
    """Return how many of the characters beyond ASCII are common ones, less those that are not."""
    score = 0
    for match in re.finditer(r"[^\x00-\x7f]", text):
        letter, before = match[0], text[match.start() - 1 : match.start()]
        is_misplaced = before.isalpha() and (letter in "‘“¿¡" or (letter.isupper() and before.islower()))
        score += 1 if letter.lower() in _PLAUSIBLE and not is_misplaced else -1
    return score


def _read_binary(path: Path, raw: bytes) -> _Grid:
    reader = _Bytes(raw, len(_BINARY))
    try:
        _require_textgrid(path, reader.short_text())
        reader.number(), reader.number()
        n_tiers = reader.integer() if reader.unpack("?") else 0
        tiers = [_binary_tier(reader) for _ in range(n_tiers)]
        if not tiers:
            raise ValueError("no tiers follow the header")
    except (ValueError, struct.error) as error:
        raise BadInput(
            f"{path} is in Praat's binary form and can't be read to the end (byte {reader.place}: {error}): cut off or "
            "damaged; fetch it again, or save it in Praat as a text file"
        ) from error
    extra = len(raw) - reader.place
    return _Grid(tiers, [f"{extra} bytes stand behind the last tier; they are not read"] if extra else [])


def _binary_tier(reader: _Bytes) -> Tier:
    kind = reader.short_text()
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"a tier is an IntervalTier or a TextTier, not {kind[:40]!r}")
    tier = Tier(reader.text(), kind == "IntervalTier", reader.number(), reader.number(), [])
    for _ in range(reader.integer()):
        start = reader.number()
        end = reader.number() if tier.is_intervals else start
        tier.entries.append((start, end, reader.text().strip()))
    return tier


class _Bytes:
    """The values of a binary file, one after the other, high byte first; ValueError or struct.error at its end."""

    def __init__(self, raw: bytes, place: int) -> None:
        self._raw, self.place = raw, place

    def unpack(self, code: str) -> int | float:
        (value,) = struct.unpack_from(f">{code}", self._raw, self.place)
        self.place += struct.calcsize(f">{code}")
        return value

    def number(self) -> float:
        value = float(self.unpack("d"))
        if not math.isfinite(value):
            raise ValueError(f"{value} is no time")
        return value

    def integer(self) -> int:
        value = int(self.unpack("i"))
        if not 0 <= value <= len(self._raw):
            raise ValueError(f"{value} can't be a number of tiers or entries")
        return value

    def short_text(self) -> str:
        return self._characters(int(self.unpack("B")), "ascii")

    def text(self) -> str:
        """Return a string behind its length; a length of -1 says that another length and UTF-16 follow."""
        size = int(self.unpack("H"))
        if size != 0xFFFF:
            return self._characters(size, "latin-1")
        return self._characters(2 * int(self.unpack("H")), "utf-16-be")

    def _characters(self, size: int, encoding: str) -> str:
        part = self._raw[self.place : self.place + size]
        if len(part) < size:
            raise ValueError(f"a text of {size} bytes should follow")
        self.place += size
        return part.decode(encoding)
