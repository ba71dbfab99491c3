"""Data sets that come in an installed package: a folder with `source.yaml` says which package, and in what format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from qaemb.errors import BadInput
from qaemb.packages import package_folder

T = TypeVar("T")

_FILE = "source.yaml"
_KEYS = {"package", "version", "format"}


@dataclass(frozen=True)
class Packaged:
    """The folder of the installed package, and the format that the task's kind reads there."""

    format: str
    root: Path


def is_packaged(path: Path) -> bool:
    """Return whether a data set's folder names a package."""
    return (path / _FILE).is_file()


def find_packaged(path: Path) -> Packaged:
    """Return where the data of a folder with `source.yaml` is (keys package, version, format).

    BadInput names what is wrong with the file, or says how to install the package.
    """
    file = path / _FILE
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInput(f"{file} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or values.keys() != _KEYS:
        raise BadInput(f"{file}: expected the keys {', '.join(sorted(_KEYS))}, and no others")
    return Packaged(str(values["format"]), package_folder(values["package"], str(values["version"]), "the data set"))


def read_packaged(path: Path, formats: Mapping[str, Callable[[Path], T]]) -> T:
    """Return the data of a folder with `source.yaml` by the reader of its format; errors as above."""
    found = find_packaged(path)
    if found.format not in formats:
        raise BadInput(f"{path / _FILE}: this kind of task reads the formats {', '.join(formats)}, not {found.format}")
    return formats[found.format](found.root)
