"""Reading the question bank: one YAML file a family, in git.

family: senses
provenance: written for qaemb, 2026
questions:
  - name: color
    property: color            # only where it asks for a gold property
    text: Does the text mention a color?
    yes_example: ...
    no_example: ...
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.questions.model import BankEntry, Question
from qaemb.questions.yaml_files import check_keys, read_mapping, text_value, yaml_files

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ENTRY_KEYS = ("property", "provenance", "yes_example", "no_example")


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
    values = read_mapping(path)
    check_keys(values, ("family", "provenance", "questions"), (), str(path))
    family = text_value(values, "family", str(path))
    provenance = text_value(values, "provenance", str(path))
    items = values["questions"]
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
    check_keys(item, ("name", "text"), _ENTRY_KEYS, where)
    name = text_value(item, "name", where)
    if not _NAME.fullmatch(name):
        raise BadInput(f"{where}: a name is lower-case words joined by _, such as `family_member`")
    return Question(
        name=name,
        text=text_value(item, "text", where),
        group=family,
        provenance=text_value(item, "provenance", where, provenance),
        yes_example=text_value(item, "yes_example", where, ""),
        no_example=text_value(item, "no_example", where, ""),
        property_id=text_value(item, "property", where) if "property" in item else None,
    )


def _refuse_twice(folder: Path, values: list[tuple[str, str]], key: str) -> None:
    files: dict[str, str] = {}
    for value, file in values:
        if value in files:
            both = file if file == files[value] else f"{files[value]} and {file}"
            raise BadInput(f"{folder}: the {key} `{value}` stands twice, in {both}; rename or remove one")
        files[value] = file
