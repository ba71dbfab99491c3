"""The floor as one of the contestants: measured anew in every round, between the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.answers.cases import Asked
from benchmarks.answers.floor import Floor, least_tokens, shapes_in
from benchmarks.answers.timing import Timed, timed
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.settings import AnswererSettings


@dataclass(frozen=True)
class Tokens:
    """Tokens of a grid: `floor` is what the floor counts, `shared`, `trie` and `whole` are those of `least_tokens`.

    `header`, and the means of a prefix without the header and of a suffix, say what they are made of;
    `suffix_floor_mean` is what the floor counts for a suffix in a cell.
    """

    floor: int
    shared: int
    trie: int
    whole: int
    header: int
    prefix_mean: float
    suffix_mean: float
    suffix_floor_mean: float


def count_tokens(asked: Asked, folder: Path) -> Tokens:
    """Return a grid's tokens. The floor counts what engine `shared` says it computes, and never more than `shared`."""
    settings = AnswererSettings(engine="shared", model=folder.name, prompt=asked.prompt)
    answerer = SharedAnswerer(settings, folder)
    rendered = answerer.renderer.render(asked.texts, asked.questions)
    least = least_tokens(rendered)
    floor = min(answerer.cost(asked.texts, asked.questions).tokens, least["shared"])
    n_cells = len(rendered.shared) * len(rendered.suffixes)
    once = least["shared"] - len(rendered.shared) * sum(map(len, rendered.suffixes))  # header and prefixes
    return Tokens(
        floor=floor,
        header=len(rendered.header),
        prefix_mean=round(fmean(map(len, rendered.shared)) - len(rendered.header), 2),
        suffix_mean=round(fmean(map(len, rendered.suffixes)), 2),
        suffix_floor_mean=round((floor - once) / n_cells, 2),
        **least,
    )


class FloorContestant:
    """The time that the multiplications of a case take on one core, as if they were a way to answer."""

    def __init__(self, folder: Path, dtype: str, min_cpu_s: float = 1.0) -> None:
        self._folder, self._dtype, self._min_cpu_s = folder, dtype, min_cpu_s
        self._floor: Floor | None = None

    def prepare(self, sample: Asked) -> None:
        """Make the weights and find the best heights, once."""
        if self._floor is None:
            self._floor = Floor(shapes_in(self._folder), self._dtype, self._min_cpu_s)

    def answer(self, asked: Asked) -> Timed:
        """Return the time of the case's multiplications, from a measurement of a few seconds."""
        floor = self._floor
        if floor is None:
            raise RuntimeError("prepare() comes first")
        measured, cpu_s, wall_s = timed(floor.measure)
        seconds = measured.seconds(count_tokens(asked, self._folder).floor, asked.n_cells)
        return Timed(asked.n_cells, seconds, seconds * wall_s / cpu_s, extra=asdict(measured))

    def about(self) -> dict[str, Any]:
        """Return dtype, heights and operations."""
        return self._floor.about() if self._floor else {}

    def close(self) -> None:
        """Let go of the weights."""
        self._floor = None
