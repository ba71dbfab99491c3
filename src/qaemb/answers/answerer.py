"""What every engine is and returns: the protocol `Answerer`, its results, and the checks that all engines share.

What answerers of one set of settings share: the engine's name, and a key that is the hash of the spec.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import QaembError
from qaemb.identity import json_id
from qaemb.models.inputs import Progress
from qaemb.settings import AnswererSettings

"""Called with the number of cells finished since the last call."""


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


class Answerer(Protocol):
    """Answers yes/no questions about texts.

    Contract, tested for every engine of the registry: a cell depends on its text and its question alone, so that
    adding, removing or reordering texts or questions moves no other cell; engines with one key agree.
    """

    @property
    def engine_name(self) -> str:
        """The engine's name in params.yaml; no part of the key."""

    @property
    def spec(self) -> dict[str, Any]:
        """Everything that changes an answer, as JSON-able values."""

    @property
    def key(self) -> str:
        """The hash of `spec`: the name of this answerer's folder in the store."""

    @property
    def figures(self) -> dict[str, float]:
        """What the engine measured since it was built, e.g. the hit rate of a prefix cache; empty: nothing."""

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the cost of answering without answering (tokenises only)."""

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question; BadInput names an empty or unreadable one."""


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


class KeyedAnswerer(ABC):
    """An answerer that `answers.spec` describes, but for its spec and its answers."""

    def __init__(self, settings: AnswererSettings) -> None:
        self.settings = settings

    @property
    def engine_name(self) -> str:
        """The engine's name."""
        return self.settings.engine

    @property
    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything that changes an answer."""

    @cached_property
    def key(self) -> str:
        """The hash of `spec`."""
        return json_id(self.spec)

    @property
    def figures(self) -> dict[str, float]:
        """What the engine measured; nothing, unless an engine says so."""
        return {}
