"""Checks of single files, and the running of many: no file's error keeps the others from being looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from qaemb.errors import BadInput

Level = Literal["OK", "WARNING", "ERROR"]
Problem = tuple[Level, str]
"""What a check says of its file. OK states a fact, and is left out beside a warning or an error."""

_PROGRESS_AFTER_S = 2.0


@dataclass(frozen=True)
class Finding:
    """A level, the path under the folder that was looked at, and what is to be said."""

    level: Level
    place: str
    message: str


@dataclass(frozen=True)
class Check:
    """Something to look at; `look` yields what it finds and may raise BadInput, which is an error of this check."""

    place: str
    look: Callable[[], Iterable[Problem]]


def examine(folder: Path, checks: list[Check]) -> Iterator[Finding]:
    """Yield what the checks find, in their order; shows progress on stderr once it has taken two seconds."""
    for check in _with_progress(checks):
        problems = list(_look(folder, check))
        has_news = any(level != "OK" for level, _ in problems)
        for level, message in problems:
            if level != "OK" or not has_news:
                yield Finding(level, check.place, message)


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


def first_of_each(problems: Iterable[tuple[str, Problem]]) -> Iterator[Problem]:
    """Yield the first problem of each kind, with the number of others; takes pairs of kind and problem."""
    firsts: dict[str, Problem] = {}
    counts: dict[str, int] = {}
    for kind, problem in problems:
        firsts.setdefault(kind, problem)
        counts[kind] = counts.get(kind, 0) + 1
    for kind, (level, message) in firsts.items():
        yield level, message + (f" (and {counts[kind] - 1} more like it)" if counts[kind] > 1 else "")


def absent(path: Path) -> str:
    """Return why a file can't be read that should be there: never fetched, or not there at all."""
    return "is a link to a file that was never fetched" if path.is_symlink() else "is missing"
