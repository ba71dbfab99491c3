"""The doctor: what is missing, wrong or suspicious in a folder of stories and responses, file by file.

An adapter lists checks; `examine` runs them, and no file's error keeps the others from being looked at. Below are the
checks that adapters share: of responses, read in blocks (types, shapes, holes, constant voxels, repeats, copies), and
of words and the TextGrids in which they stand.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.datasets.arrays import check_rows, read_block, shape_of, voxel_blocks
from qaemb.datasets.source import Responses, Timing
from qaemb.datasets.textgrid import read_transcript
from qaemb.datasets.words import (
    NO_RULES,
    LabelRules,
    are_utterances,
    first_of_each,
    odd_labels,
    shown_counts,
    utterances_message,
    word_problems,
)
from qaemb.errors import BadInput, listed
from qaemb.rows import FIRST_ROW

Value = TypeVar("Value")
Level = Literal["OK", "WARNING", "ERROR"]
Problem = tuple[Level, str]
"""What a check says of its file. OK states a fact, and is left out beside a warning or an error."""

_PROGRESS_AFTER_S = 2.0
# Standard scores have a mean near 0 and a standard deviation near 1.
_Z_MEAN, _Z_SD = 0.2, (0.1, 3.0)
_SAME_R = 0.9
_MOST_OUTSIDE = 0.4
_SILENCE_S = 60.0


@dataclass(frozen=True)
class _Finding:
    """A level, the path under the folder that was looked at, and the message."""

    level: Level
    place: str
    message: str


@dataclass(frozen=True)
class Check:
    """Something to look at; `look` yields what it finds and may raise BadInput, which is an error of this check."""

    place: str
    look: Callable[[], Iterable[Problem]]


def examine(folder: Path, checks: list[Check]) -> Iterator[_Finding]:
    """Yield the findings of the checks, in their order; shows progress on stderr once it has taken two seconds."""
    for check in _with_progress(checks):
        problems = list(_look(folder, check))
        has_news = any(level != "OK" for level, _ in problems)
        for level, message in problems:
            if level != "OK" or not has_news:
                yield _Finding(level, check.place, message)


def _with_progress(checks: list[Check]) -> Iterator[Check]:
    """Yield the checks; the bar begins late, since one that waits would show with the first line written above it."""
    start, bar = time.monotonic(), None
    for number, check in enumerate(checks):
        if bar is None and time.monotonic() - start > _PROGRESS_AFTER_S:
            bar = tqdm(total=len(checks), initial=number, desc="check", unit="file", leave=False)
        yield check
        if bar is not None:
            bar.update()
    if bar is not None:
        bar.close()


def _look(folder: Path, check: Check) -> Iterator[Problem]:
    try:
        yield from check.look()
    except (BadInput, OSError) as error:
        yield "ERROR", _without_place(str(error), folder, check.place)


def _without_place(message: str, folder: Path, place: str) -> str:
    """Return a message without what its line says already: the folder, and the file at its beginning."""
    message = message.replace(f"{folder}/", "").replace(str(folder), "the folder")
    rest = message.removeprefix(place)
    return rest.lstrip("/:, ") if rest != message and rest[:1] in {"/", ":", ",", " "} else message


def unless_bad(read: Callable[[], Value]) -> Value | None:
    """Return what `read` returns, None where it raises BadInput: for a check that leaves the error to another one."""
    try:
        return read()
    except BadInput:
        return None


def check_stories(stories: Collection[str], heard: Collection[str]) -> Iterator[Problem]:
    """Yield a warning that names the stories of a data set that a subject has not heard."""
    missing = sorted(set(stories) - set(heard))
    if missing:
        yield "WARNING", f"lacks {len(missing)} of {len(stories)} stories: {listed(missing)}"


def absent(path: Path) -> str:
    """Return why a file can't be read that should be there: never fetched, or not there at all."""
    return "is a link to a file that was never fetched" if path.is_symlink() else "is missing"


@dataclass
class Compared:
    """What is compared between files: the first place of each digest of responses, and each subject's voxels there."""

    digests: dict[str, str] = field(default_factory=dict)
    voxels: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class _Facts:
    """What an array (n_trs, voxels) holds; `mean` and `sd` are over its finite values."""

    partly_nan: int
    all_nan: int
    infinite: int
    constant: int
    mean: float
    sd: float
    digest: str


@dataclass(frozen=True)
class Recorded:
    """A subject's responses to a story: their place in messages, how to open them, the rows expected and why."""

    subject: str
    place: str
    open: Callable[[], AbstractContextManager[Responses]]
    rows: tuple[int, str] | None = None


def check_responses(recorded: Recorded, compared: Compared) -> Iterator[Problem]:
    """Yield what is wrong with a subject's responses to a story."""
    with recorded.open() as responses:
        yield from _check_shape(recorded, responses, compared)
        facts = _scan(responses.data, responses.where)
        yield from _describe(facts, responses.data.shape[1], responses.data.dtype)
        twin = compared.digests.setdefault(facts.digest, recorded.place)
        if twin != recorded.place:
            yield "WARNING", f"holds the same numbers as {twin}"
        if responses.repeats is not None:
            yield from _check_repeats(responses)
        repeats = "" if responses.repeats is None else f", {len(responses.repeats)} repeats"
        yield "OK", f"{shape_of(responses.data)} {responses.data.dtype}{repeats}"
        if recorded.rows is not None:
            check_rows(responses, *recorded.rows)


def _check_shape(recorded: Recorded, responses: Responses, compared: Compared) -> Iterator[Problem]:
    n_voxels = responses.data.shape[1]
    expected, first = compared.voxels.setdefault(recorded.subject, (n_voxels, recorded.place))
    if n_voxels != expected:
        yield "ERROR", f"has {n_voxels} voxels, {first} has {expected}; all of a subject must be of one mask"


def _scan(values: Any, where: str) -> _Facts:
    """Return the facts of an array (n_trs, voxels) of any type of numbers; BadInput if it can't be read to the end."""
    facts = _Facts(0, 0, 0, 0, 0.0, 0.0, "")
    digest, count, total, squares = hashlib.blake2b(digest_size=16), 0, 0.0, 0.0
    for place in voxel_blocks(values.shape):
        block = read_block(values, place, where)
        digest.update(np.ascontiguousarray(block, dtype=np.float32).data)
        block = block.astype(np.float64)
        nan, finite = np.isnan(block), np.isfinite(block)
        facts.all_nan += int(nan.all(axis=0).sum())
        facts.partly_nan += int((nan.any(axis=0) & ~nan.all(axis=0)).sum())
        facts.infinite += int((~finite & ~nan).sum())
        facts.constant += int((block == block[:1]).all(axis=0).sum())
        values_here = block[finite]
        count, total = count + values_here.size, total + values_here.sum()
        squares += values_here @ values_here
    if count:
        facts.mean = total / count
        facts.sd = float(np.sqrt(max(squares / count - facts.mean**2, 0.0)))
    facts.digest = f"{shape_of(values)} {digest.hexdigest()}"
    return facts


def _describe(facts: _Facts, n_voxels: int, dtype: np.dtype[Any]) -> Iterator[Problem]:
    """Yield what is wrong with an array of these facts."""
    if facts.all_nan == n_voxels:
        yield "ERROR", "all values are NaN"
        return
    if facts.infinite:
        yield "ERROR", f"{facts.infinite} values are infinite; such voxels get no score"
    if facts.constant == n_voxels:
        yield "ERROR", "no voxel varies"
        return
    for number, what in ((facts.partly_nan, "NaN in some rows"), (facts.all_nan, "NaN in all rows")):
        if number:
            yield "WARNING", f"{number} of {n_voxels} voxels ({number / n_voxels:.1%}) are {what}; they get no score"
    if facts.constant:
        yield "WARNING", f"{facts.constant} of {n_voxels} voxels are constant; they get no score"
    if dtype.kind in "iu":
        yield "WARNING", f"whole numbers ({dtype}), as raw scans have; expected responses z-scored per story"
    elif abs(facts.mean) > _Z_MEAN * facts.sd or not _Z_SD[0] <= facts.sd <= _Z_SD[1]:
        yield "WARNING", f"mean {facts.mean:.3g}, sd {facts.sd:.3g} of all values: not z-scored per story?"


def _check_repeats(responses: Responses) -> Iterator[Problem]:
    n_repeats, rows, n_voxels = responses.repeats.shape  # type: ignore[union-attr]
    if n_repeats < 2:
        yield "WARNING", "a single repeat gives no noise ceiling"
        return
    same = dict.fromkeys(combinations(range(n_repeats), 2), True)
    sums = np.zeros(3)
    for _, voxels in voxel_blocks((n_repeats * rows, n_voxels)):
        data = read_block(responses.data, (slice(None), voxels), responses.where).astype(np.float64)
        runs = [read_block(responses.repeats, (run, slice(None), voxels), responses.where) for run in range(n_repeats)]
        for pair in [pair for pair, still in same.items() if still]:
            same[pair] = np.array_equal(runs[pair[0]], runs[pair[1]], equal_nan=True)
        sums += _products(data, np.stack(runs).mean(axis=0, dtype=np.float64))
    for first, second in [pair for pair, still in same.items() if still]:
        yield (
            "WARNING",
            f"repeats {first + 1} and {second + 1} are the same numbers; the noise ceiling will be too high",
        )
    r = _correlation(sums)
    if r < _SAME_R:
        yield "WARNING", f"the responses are not the mean of their repeats (r = {r:.2f}): of another story or subject?"


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return np.array([(x * y).sum(), (x * x).sum(), (y * y).sum()])


def _correlation(sums: np.ndarray) -> float:
    scale = float(np.sqrt(sums[1] * sums[2]))
    return float(sums[0]) / scale if scale > 0 else 1.0


def check_textgrid(
    path: Path, timing: Timing | None, reach_s: float | None = None, rules: LabelRules = NO_RULES
) -> Iterator[Problem]:
    """Yield what is wrong with a TextGrid and its words; `reach_s` is the time at which the scanner stopped.

    Every message about words names the tier that they stand in.
    """
    transcript = read_transcript(path, rules)
    names = ", ".join(f"`{tier.name}`" for tier in transcript.tiers)
    tiers = f"tier{'s' if len(transcript.tiers) > 1 else ''} {names}"
    for note in transcript.notes:
        yield "WARNING", note if names in note else f"{note} (words: {tiers})"
    for _, problem in first_of_each(("order", problem) for problem in transcript.problems):
        yield "ERROR", problem
    for tier in transcript.tiers:
        late = [entry for entry in tier.entries if entry[1] > tier.end + 1e-3]
        if late:
            end, label = late[0][1:]
            yield "ERROR", f"tier `{tier.name}`: `{label}` ends at {end:g} s, beyond the sound ({tier.end:g} s)"
    if not transcript.problems:
        for level, message in check_words(transcript.words, timing, reach_s):
            yield level, f"{message} ({tiers})"


def check_table(words: pd.DataFrame, timing: Timing | None) -> Iterator[Problem]:
    """Yield what is wrong with words whose index counts the rows of their file, with these rows."""
    yield from check_words(words, timing, row_of=lambda number: f"row {FIRST_ROW + words.index[number]}: ")


def check_words(
    words: pd.DataFrame,
    timing: Timing | None,
    reach_s: float | None = None,
    row_of: Callable[[int], str] = lambda number: "",
) -> Iterator[Problem]:
    """Yield what is wrong with words, alone and, with `timing`, against the response rows.

    `row_of` says where a word stands in its file, for messages.
    """
    if words.empty:
        yield "ERROR", "holds no words, only silences and noises"
        return
    labels = words["word"].tolist()
    if are_utterances(labels):
        yield "ERROR", utterances_message(labels)
        return
    firsts = first_of_each(((p.fatal, p.kind), row_of(p.number) + p.message) for p in word_problems(words))
    for (fatal, _), message in firsts:
        yield "ERROR" if fatal else "WARNING", message
    last = float(words["offset_s"].max())
    if reach_s is not None and last > reach_s:
        late = int((words["offset_s"] > reach_s).sum())
        yield "WARNING", f"{late} words end after the scanner stopped, at {reach_s:g} s of the sound: the wrong story?"
    if timing is not None:
        yield from _against_rows(words, timing)
    odd = odd_labels(labels)
    if odd:
        yield "WARNING", f"odd labels, read as words: {shown_counts(odd)}; list those that are none in dataset.marks"
    marks: Counter[str] = words.attrs.get("marks", Counter())
    no_words = f"; {marks.total()} marks are no words: {shown_counts(marks)}" if marks else ""
    yield "OK", f"{len(words)} words from {words['onset_s'].min():.1f} to {last:.1f} s{no_words}"


def _against_rows(words: pd.DataFrame, timing: Timing) -> Iterator[Problem]:
    start = timing.first_tr_s - timing.tr_s / 2
    end = start + timing.n_trs * timing.tr_s
    middle = (words["onset_s"] + words["offset_s"]).to_numpy(np.float64) / 2
    outside = float(np.mean((middle < start) | (middle >= end)))
    rows = f"the {timing.n_trs} response rows, {start:g} to {end:g} s"
    if outside == 1:
        yield "ERROR", f"no word falls on {rows}"
    elif outside > _MOST_OUTSIDE:
        yield "WARNING", f"{outside:.0%} of the words fall outside {rows}"
    elif end - middle[-1] > _SILENCE_S:
        yield (
            "WARNING",
            f"the last word is at {middle[-1]:.0f} s, long before the end of {rows}: the wrong story or TR?",
        )
