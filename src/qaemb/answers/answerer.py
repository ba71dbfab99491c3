"""What every engine is and returns: the base class `Answerer`, its results, and the checks that all engines share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import QaembError
from qaemb.identity import json_id
from qaemb.models.inputs import Progress

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """`margin` = log P(yes) - log P(no) in nats and `mass` = P(yes) + P(no), both float32 (texts, questions)."""

    margin: NDArray[np.float32]
    mass: NDArray[np.float32]


@dataclass(frozen=True)
class Cost:
    """What answering takes: `tokens` through the model, `n_cut` texts that are too long and lose their start.

    `usd` is the price of the tokens, None where nothing is billed (or no price is known).
    """

    tokens: int
    n_cut: int
    usd: float | None = None


class Answerer(ABC):
    """Answers yes/no questions about texts.

    Contract, tested for every engine of the registry: a cell depends on its text and its question alone, so that
    adding, removing or reordering texts or questions moves no other cell; engines with one key agree.

    An answerer computes its cells itself, or it combines the cells of its `members`. The second half of the methods is
    for the latter; their defaults are right for the former.
    """

    engine_name: str
    """The engine's name in params.yaml; no part of the key."""

    @property
    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything that changes an answer, as JSON-able values."""

    @cached_property
    def key(self) -> str:
        """The hash of `spec`: the name of this answerer's folder in the store."""
        return json_id(self.spec)

    @property
    def figures(self) -> dict[str, float]:
        """What the engine measured since it was built, e.g. the hit rate of a prefix cache; empty: nothing."""
        return {}

    @abstractmethod
    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the cost of answering without answering (tokenises only)."""

    @abstractmethod
    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question; BadInput names an empty or unreadable one."""

    @property
    def members(self) -> Mapping[str, Answerer]:
        """The answerers, by name, whose cells are combined; empty: it answers itself."""
        return {}

    in_turn = False
    """Whether each member is planned only for the cells that those before it leave open."""

    @property
    def claim(self) -> str:
        """What a user must know wherever its answers are shown, in a sentence; empty: nothing."""
        return ""

    def open_cells(self, cells: Sequence[Answers], questions: Sequence[str]) -> Mask:
        """Return which cells (texts, questions) the next member must answer, after the `cells` of those before it."""
        raise NotImplementedError

    def combine(self, cells: Sequence[Answers], questions: Sequence[str]) -> Answers:
        """Return the cells that follow from the members' `cells`, NaN where a needed one is NaN."""
        raise NotImplementedError

    def savings(self, n_cells: int, n_saved: int) -> dict[str, float]:
        """Return the figures of `n_cells` cells of which `n_saved` were not put to the last member."""
        return {}

    def approximation(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """Return what a matrix says of whom it approximates, with the `savings` among `figures`; empty: nobody."""
        return {}


def engine_version() -> str:
    """Return the hand-raised version of the answering code; it is part of every key.

    Raise it (file ENGINE_VERSION) when a change of code changes answers; a refactoring leaves it alone, so that
    answers are not bought twice.
    """
    return files("qaemb.answers").joinpath("ENGINE_VERSION").read_text(encoding="utf-8").strip()


def check_finite(answers: Answers) -> Answers:
    """Return the answers; QaembError where a margin or mass is NaN or infinite, naming the first such cell."""
    bad = np.argwhere(~(np.isfinite(answers.margin) & np.isfinite(answers.mass)))
    if len(bad):
        row, column = bad[0]
        raise QaembError(
            f"the model gave no finite answer in {len(bad)} cells, first for text number {row} and question number "
            f"{column}; use dtype float32, or check the model's weights"
        )
    return answers
