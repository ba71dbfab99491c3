"""Reading pairs of texts with people's ratings: CSV, JSON lines, and sets that installed packages carry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.rows import csv_rows, json_rows, read_text
from qaemb.tasks.lee import read_lee
from qaemb.tasks.packaged import is_packaged, read_packaged

_COLUMNS = ("first", "second", "score")
_FEWEST = 3


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts and how similar people find them (pairs,), on any scale."""

    first: list[str]
    second: list[str]
    score: NDArray[np.float64]

    @property
    def texts(self) -> list[str]:
        """All texts, each once."""
        return list(dict.fromkeys([*self.first, *self.second]))

    @property
    def numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers in `texts` of first and second (pairs,)."""
        row = {text: number for number, text in enumerate(self.texts)}
        first, second = ([row[text] for text in own] for own in (self.first, self.second))
        return np.array(first, np.int64), np.array(second, np.int64)


def read_pairs(path: Path) -> Pairs:
    """Return the pairs of a .csv or .jsonl file (`first`, `second`, `score`) or of a folder that names a package.

    BadInput names the file and line that is wrong.
    """
    if is_packaged(path):
        return read_packaged(path, {"lee": _lee, "simlex999": _simlex, "wordsim353": _wordsim})
    if path.suffix == ".csv":
        return _pairs(csv_rows(path, _COLUMNS), path)
    if path.suffix == ".jsonl":
        return _pairs(json_rows(path), path)
    raise BadInput(f"{path} is no set of pairs; expected a .csv or .jsonl file with {', '.join(_COLUMNS)}")


def _pairs(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> Pairs:
    first: list[str] = []
    second: list[str] = []
    scores: list[float] = []
    for place, row in rows:
        for texts, column in ((first, "first"), (second, "second")):
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise BadInput(f"{place}: `{column}` has no text; write it or take the line out")
            texts.append(row[column].strip())
        scores.append(_score(row.get("score"), place))
    if len(scores) < _FEWEST or len(set(scores)) == 1:
        raise BadInput(f"{path}: {len(scores)} pairs, {len(set(scores))} different scores: too few to rank")
    return Pairs(first, second, np.array(scores))


def _score(value: Any, place: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise BadInput(f"{place}: score `{value}` is not a finite number")
    return score


def _lee(root: Path) -> Pairs:
    texts, similarity = read_lee(root)
    rows, columns = np.triu_indices(len(texts), 1)
    return Pairs([texts[row] for row in rows], [texts[column] for column in columns], similarity[rows, columns])


def _simlex(root: Path) -> Pairs:
    return _word_pairs(root / "test/test_data/simlex999.txt")


def _wordsim(root: Path) -> Pairs:
    return _word_pairs(root / "test/test_data/wordsim353.tsv")


def _word_pairs(path: Path) -> Pairs:
    """Return the pairs of a file of two words and a score, separated by tabs, with comments after `#`."""

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            place, values = f"{path}, line {number}", line.split("\t")
            if line.startswith("#") or not line.strip():
                continue
            if len(values) != len(_COLUMNS):
                raise BadInput(f"{place}: expected two words and a score, separated by tabs")
            yield place, dict(zip(_COLUMNS, values, strict=True))

    return _pairs(rows(), path)
