"""Profiles: named sets of sections of params.yaml, one a data set (`qaemb use NAME`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from qaemb.errors import BadInput, BadParameter
from qaemb.files import atomic_file
from qaemb.settings import load_settings

SECTIONS = (
    "dataset",
    "segments",
    "answers",
    "validate",
    "features",
    "encode",
    "interpret",
    "select",
    "distill",
    "publish",
    "downstream",
    "report",
)


def use_profile(params: Path, folder: Path, name: str) -> list[str]:
    """Write the sections of the profile `name` into params.yaml and return what changed, a line a key.

    A section is replaced whole, comments included. `path_from` in the profile names an environment variable that,
    when set, overrides `dataset.path`. The new file is checked before it replaces the old one, so that a bad profile
    leaves params.yaml as it was.

    Raises:
        BadInput: no such profile, or one with a section that profiles may not hold.
        BadParameter: the resulting params.yaml would not be valid.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    profile = _read(yaml, _profile_path(folder, name))
    variable = profile.pop("path_from", None)
    unknown = [key for key in profile if key not in SECTIONS]
    if unknown:
        raise BadInput(
            f"{folder / name}.yaml: section `{unknown[0]}` can't be in a profile ({', '.join(SECTIONS)} can)"
        )
    if variable and os.environ.get(variable):
        profile["dataset"]["path"] = os.environ[variable]
    values = _read(yaml, params)
    before = dict(_flatten(values))
    for section, content in profile.items():
        values[section] = content
    after = dict(_flatten(values))
    with atomic_file(params) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            yaml.dump(values, file)
        try:
            load_settings(temporary)
        except BadParameter as error:
            raise BadParameter(str(error).replace(str(temporary), f"{folder / name}.yaml")) from error
    return _changes(before, after) or [f"params.yaml already has everything of profile {name}"]


def _profile_path(folder: Path, name: str) -> Path:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise BadInput(f"no profile `{name}` in {folder}; there are: {known}")
    return path


def _read(yaml: YAML, path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadParameter(f"{path} does not exist; run qaemb from the project's root") from error
    except YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {error}") from error


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), str(value)


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(removed)')}")
    return lines
