"""Profiles: named sets of sections of params.yaml, one a data set (`qaemb use NAME`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from qaemb.errors import BadInput, BadParameter, require_name
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
        BadInput: the profile has a section that profiles may not hold, or is not valid YAML.
        BadParameter: there is no such profile, or the resulting params.yaml would not be valid.
    """
    from qaemb.datasets.registry import adapter_settings  # imports h5py, which nothing else here needs

    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    require_name(sorted(path.stem for path in folder.glob("*.yaml")), name, "profile", str(folder))
    path = folder / f"{name}.yaml"
    profile = _read(yaml, path)
    variable = profile.pop("path_from", None)
    unknown = [key for key in profile if key not in SECTIONS]
    if unknown:
        raise BadInput(f"{path}: section `{unknown[0]}` can't be in a profile ({', '.join(SECTIONS)} can)")
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
            adapter_settings(load_settings(temporary).dataset, temporary)
        except BadParameter as error:
            raise BadParameter(str(error).replace(str(temporary), str(path))) from error
    return _changes(before, after) or [f"params.yaml already has everything of profile {name}"]


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
