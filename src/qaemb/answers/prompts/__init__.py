"""Prompts: one YAML file each; its content, without its name, is part of the answerer's key."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError, model_validator

from qaemb.errors import BadParameter


class _Example(BaseModel):
    """One worked example (few-shot): a text, a question and the right answer, which begins with its label."""

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
    few_shot: tuple[_Example, ...] = ()
    prefill: StrictStr | None = Field(None, min_length=1, description="what the assistant has already said")
    enable_thinking: StrictBool | None = Field(None, description="handed to chat templates that know this switch")
    yes_label: StrictStr = "Yes"
    no_label: StrictStr = "No"

    @model_validator(mode="after")
    def _placeholders_are_in_order(self) -> Prompt:
        places = ("{text}", "{question}") if self.order == "text_first" else ("{question}", "{text}")
        for place in places:
            if "".join(self.pieces).count(place) != 1:
                raise ValueError(f"pieces: the two must hold {place} exactly once")
        if places[0] not in self.pieces[0] or places[1] not in self.pieces[1]:
            raise ValueError(
                f"pieces: order `{self.order}` needs {places[0]} in the first piece and {places[1]} in the second"
            )
        return self

    @model_validator(mode="after")
    def _only_a_chat_has_turns(self) -> Prompt:
        for key in ("system", "prefill", "enable_thinking"):
            if not self.chat and getattr(self, key) is not None:
                raise ValueError(f"{key}: a plain completion has none; write it into `pieces`, or set `chat: true`")
        if self.prefill and self.prefill.endswith(" "):  # a word and the space before it are one token
            raise ValueError("prefill: must not end with a space, as the answer brings its own")
        return self

    @model_validator(mode="after")
    def _examples_begin_with_a_label(self) -> Prompt:
        labels = (self.yes_label.lower(), self.no_label.lower())
        for number, example in enumerate(self.few_shot):
            if not example.answer.lower().startswith(labels):
                raise ValueError(
                    f"few_shot.{number}.answer: `{example.answer}` must begin with `{self.yes_label}` or "
                    f"`{self.no_label}`, as only the first token of an answer is read"
                )
        return self

    def turned(self) -> Prompt:
        """Return the prompt with its two pieces in the other order; a line break before the second stays there."""
        first, second = self.pieces
        bare = second.lstrip("\n")
        pieces = (bare, second[: len(second) - len(bare)] + first)
        order = "question_first" if self.order == "text_first" else "text_first"
        return Prompt.model_validate({**self.model_dump(), "order": order, "pieces": pieces})

    @property
    def message(self) -> str:
        """The user message with its placeholders."""
        return "".join(self.pieces)

    def content(self) -> dict[str, Any]:
        """Return all that changes an answer: every field but the name.

        Fields that came after the first prompts are left out while unset, so that older prompts keep their keys.
        """
        unset = {key for key in ("prefill", "enable_thinking") if getattr(self, key) is None}
        return self.model_dump(mode="json", exclude={"name", *unset})


def prompt_names() -> list[str]:
    """Return the names of the prompts in the package, sorted."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def load_prompt(name: str) -> Prompt:
    """Return a prompt: a name without a slash is one of the package, any other a path from the project's root.

    BadParameter lists the names there are, or names the file, the key and what is wrong with it.
    """
    path = _locate(name)
    try:
        return Prompt.model_validate(yaml.safe_load(_read(path)))
    except yaml.YAMLError as error:
        raise BadParameter(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise BadParameter(_describe(path, error)) from error


def prompt_description(name: str) -> str:
    """Return what a prompt is for: the first line of the comment on top of its file, empty if there is none."""
    first = _read(_locate(name)).partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def _locate(name: str) -> Traversable:
    if "/" in name:
        return Path(name)
    if name not in prompt_names():
        raise BadParameter(
            f"there is no prompt `{name}`; there are {', '.join(prompt_names())}; "
            "for a file of your own give its path from the project's root, with a slash in it: prompts/mine.yaml"
        )
    return _folder().joinpath(f"{name}.yaml")


def _read(path: Traversable) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadParameter(
            f"prompt file {path} can't be read: {error}; give a YAML file, or one of {', '.join(prompt_names())}"
        ) from error


def _describe(path: Traversable, error: ValidationError) -> str:
    """One line for each thing that is wrong: file, key, problem."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            fields = _Example.model_fields if key.startswith("few_shot.") else Prompt.model_fields
            lines.append(f"{path}: unknown key `{key}`; there are {', '.join(fields)}")
        elif item["type"] == "string_type":  # what YAML makes of a bare Yes, No or number
            lines.append(f"{path}: {key}: {message}; put it in quotes")
        else:
            lines.append(f"{path}: {key + ': ' if key else ''}{message}")
    return "\n".join(lines)


def _folder() -> Traversable:
    return files("qaemb.answers.prompts")
