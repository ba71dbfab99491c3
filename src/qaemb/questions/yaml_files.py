"""Reading the room's YAML files so that every mistake is named with its file and place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput


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


def yaml_files(folder: Path) -> list[Path]:
    """Return a folder's *.yaml files sorted by name; BadInput where the folder is missing or has none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; set questions.bank in params.yaml to the folder of bank/ and sets/")
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise BadInput(f"{folder} has no .yaml file; add one")
    return paths


def read_mapping(path: Path) -> dict[str, Any]:
    """Return a YAML file's top-level mapping; BadInput names the file, and the line where YAML knows it."""
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
    return value


def check_keys(values: Mapping[Any, Any], required: Iterable[str], optional: Iterable[str], where: str) -> None:
    """Raise BadInput, beginning with `where`, when a required key lacks or a key is in neither list."""
    required, optional = list(required), list(optional)
    for key in required:
        if key not in values:
            raise BadInput(f"{where}: `{key}` is missing")
    for key in values:
        if key not in required and key not in optional:
            raise BadInput(f"{where}: unknown key `{key}`; known are {', '.join(required + optional)}")


def text_value(values: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    """Return a key's text without space around it; BadInput when it is no text, or empty and without a default."""
    value = values.get(key, default)
    if not isinstance(value, str):
        raise BadInput(f"{where}: `{key}` must be text, not {_kind(value)}; put quotes around the words")
    if not value.strip() and default is None:
        raise BadInput(f"{where}: `{key}` is empty")
    return value.strip()


def _kind(value: Any) -> str:
    return "empty" if value is None else f"{type(value).__name__} ({value!r})"[:80]
