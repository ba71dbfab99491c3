"""Prompts: one YAML file each; its content, without its name, is part of the answerer's key."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator

from qaemb.errors import BadParameter


class Example(BaseModel):
    """One worked example (few-shot): a text, a question and the right label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: StrictStr
    question: StrictStr
    answer: StrictStr


class Prompt(BaseModel):
    """How a text and a question become one user message, and which words count as the answer.

    The two pieces join to one message. The first holds the placeholder that `order` names ({text} for `text_first`),
    the second holds the other; what precedes the second placeholder is computed once and shared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StrictStr
    order: Literal["text_first", "question_first"]
    chat: bool = Field(description="wrap the message in the model's chat template; else it is plain text")
    system: StrictStr | None = None
    pieces: tuple[StrictStr, StrictStr]
    few_shot: tuple[Example, ...] = ()
    yes_label: StrictStr = "Yes"
    no_label: StrictStr = "No"

    @model_validator(mode="after")
    def _placeholders_are_in_order(self) -> Prompt:
        places = ("{text}", "{question}") if self.order == "text_first" else ("{question}", "{text}")
        for place in places:
            if "".join(self.pieces).count(place) != 1:
                raise ValueError(f"the pieces must hold {place} exactly once")
        if places[0] not in self.pieces[0] or places[1] not in self.pieces[1]:
            raise ValueError(f"order `{self.order}` needs {places[0]} in the first piece and {places[1]} in the second")
        return self

    @property
    def message(self) -> str:
        """The user message with its placeholders."""
        return "".join(self.pieces)

    def content(self) -> dict[str, Any]:
        """Return all that changes an answer: every field but the name."""
        return self.model_dump(mode="json", exclude={"name"})


def prompt_names() -> list[str]:
    """Return the names of the prompts in the package, sorted."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def load_prompt(name: str) -> Prompt:
    """Return a prompt of the package by name; BadParameter lists the names there are, or names the wrong field."""
    if name not in prompt_names():
        raise BadParameter(f"there is no prompt `{name}`; there are {', '.join(prompt_names())}")
    path = _folder().joinpath(f"{name}.yaml")
    try:
        return Prompt.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise BadParameter(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "prompt"
        raise BadParameter(f"{path}: {where}: {first['msg']}") from error


def _folder() -> Traversable:
    return files("qaemb.answers.prompts")
