"""What answerers of one set of settings share: the engine's name, and a key that is the hash of the spec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from qaemb.identity import json_id
from qaemb.settings import AnswererSettings


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
