"""The question bank: what a question and a question set are, and the YAML files of the bank, one a family, in git.

    family: senses
    provenance: written for qaemb, 2026
    questions:
      - name: color
        property: color            # only where it asks for a gold property
        text: Does the text mention a color?
        yes_example: ...
        no_example: ...

Every mistake in a file is named with the file and the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput
from qaemb.identity import text_id

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ENTRY_KEYS = ("property", "provenance", "yes_example", "no_example")


@dataclass(frozen=True)
class Question:
    """One yes/no question about a text.

    `name` is its short readable name (a column's name), `group` its family in the bank, `property_id` the gold
    property that it asks for, if any. The two examples are texts that should get a yes and a no.
    """

    name: str
    text: str
    group: str = ""
    provenance: str = ""
    yes_example: str = ""
    no_example: str = ""
    property_id: str | None = None

    @property
    def question_id(self) -> str:
        """The question's identity: the hash of its text alone, so renaming or moving it costs no new answers."""
        return text_id(self.text)


@dataclass(frozen=True)
class QuestionSet:
    """A named, ordered list of questions, none of them twice."""

    name: str
    questions: tuple[Question, ...]
    description: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the questions, in order."""
        return tuple(question.name for question in self.questions)


@dataclass(frozen=True)
class BankEntry:
    """A question as it stands in a bank file, before any check of its wording. `file` is relative to the bank."""

    question: Question
    file: str


@dataclass(frozen=True)
class Rejection:
    """A bank entry that the checks refused, and why."""

    file: str
    name: str
    text: str
    reason: str


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice; PyYAML itself would drop the first value without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key_node.value}` stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class YamlMapping:
    """Keys and values of a YAML file, or of an entry in one; `where` names the place in messages."""

    where: str
    values: Mapping[Any, Any]

    @classmethod
    def read(cls, path: Path) -> YamlMapping:
        """Return a file's top-level mapping; BadInput names the file, and the line where YAML knows it."""
        try:
            value = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
        except FileNotFoundError as error:
            raise BadInput(f"{path} does not exist") from error
        except OSError as error:
            raise BadInput(f"{path} can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} is not valid YAML: {error}") from error
        if not isinstance(value, dict):
            raise BadInput(f"{path} must be a mapping of keys to values, not {_kind(value)}")
        return cls(str(path), value)

    def check_keys(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Raise BadInput when a required key is missing or a key is neither required nor optional."""
        for key in required:
            if key not in self.values:
                raise BadInput(f"{self.where}: `{key}` is missing")
        for key in self.values:
            if key not in required + optional:
                raise BadInput(f"{self.where}: unknown key `{key}`; known are {', '.join(required + optional)}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a key's text without space around it; BadInput when it is no text, or empty and without a default."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise BadInput(f"{self.where}: `{key}` must be text, not {_kind(value)}; put quotes around the words")
        if not value.strip() and default is None:
            raise BadInput(f"{self.where}: `{key}` is empty")
        return value.strip()


def yaml_files(folder: Path) -> list[Path]:
    """Return a folder's *.yaml files sorted by name; BadInput where the folder is missing or has none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; set questions.bank in params.yaml to the folder of bank/ and sets/")
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise BadInput(f"{folder} has no .yaml file; add one")
    return paths


def _kind(value: Any) -> str:
    return "empty" if value is None else f"{type(value).__name__} ({value!r})"[:80]


def load_bank(folder: Path) -> list[BankEntry]:
    """Return every entry of a bank, file by file in the order of their names.

    Wording is not judged here (see `screening`). BadInput names file and entry for what can't be read as a bank:
    a missing or unknown key, a value that is not text, a name that is not snake_case, a name, family or property
    that stands twice, a file without questions.
    """
    entries: list[BankEntry] = []
    families: dict[str, str] = {}
    for path in yaml_files(folder):
        family, read = _read_family(path)
        if family in families:
            raise BadInput(f"{path}: the family `{family}` stands in {families[family]} too; join the files")
        families[family] = path.name
        entries.extend(read)
    _refuse_twice(folder, [(entry.question.name, entry.file) for entry in entries], "name")
    properties = [(entry.question.property_id, entry.file) for entry in entries if entry.question.property_id]
    _refuse_twice(folder, properties, "property")
    return entries


def _read_family(path: Path) -> tuple[str, list[BankEntry]]:
    values = YamlMapping.read(path)
    values.check_keys(("family", "provenance", "questions"))
    family, provenance, items = values.text("family"), values.text("provenance"), values.values["questions"]
    if not isinstance(items, list) or not items:
        raise BadInput(f"{path}: `questions` must be a list with at least one question")
    questions = [_read_question(path, number, item, family, provenance) for number, item in enumerate(items, start=1)]
    return family, [BankEntry(question, path.name) for question in questions]


def _read_question(path: Path, number: int, item: Any, family: str, provenance: str) -> Question:
    where = f"{path}: question {number}"
    if not isinstance(item, dict):
        raise BadInput(f"{where} must be a mapping with `name` and `text`")
    if isinstance(item.get("name"), str):
        where += f" (`{item['name']}`)"
    values = YamlMapping(where, item)
    values.check_keys(("name", "text"), _ENTRY_KEYS)
    name = values.text("name")
    if not _NAME.fullmatch(name):
        raise BadInput(f"{where}: a name is lower-case words joined by _, such as `family_member`")
    return Question(
        name=name,
        text=values.text("text"),
        group=family,
        provenance=values.text("provenance", provenance),
        yes_example=values.text("yes_example", ""),
        no_example=values.text("no_example", ""),
        property_id=values.text("property") if "property" in item else None,
    )


def _refuse_twice(folder: Path, values: list[tuple[str, str]], key: str) -> None:
    files: dict[str, str] = {}
    for value, file in values:
        if value in files:
            both = file if file == files[value] else f"{files[value]} and {file}"
            raise BadInput(f"{folder}: the {key} `{value}` stands twice, in {both}; rename or remove one")
        files[value] = file
