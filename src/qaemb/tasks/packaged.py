"""Data sets that come in an installed package: a folder with `source.yaml` says which package, and in what format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from qaemb.errors import BadInput
from qaemb.packages import package_folder

T = TypeVar("T")

_FILE = "source.yaml"
_KEYS = {"package", "version", "format"}
_MODULE = "module"


@dataclass(frozen=True)
class Packaged:
    """The folder of the installed package, the format that the task's kind reads there, and that format's own keys."""

    format: str
    root: Path
    options: Mapping[str, Any] = field(default_factory=dict)


def is_packaged(path: Path) -> bool:
    """Return whether a data set's folder names a package."""
    return (path / _FILE).is_file()


def find_packaged(path: Path, options: Collection[str] = ()) -> Packaged:
    """Return where the data of a folder with `source.yaml` is.

    Its keys are package, version, format, `module` where it is not the package's name, and any of `options`. BadInput
    names what is wrong with the file, or says how to install the package.
    """
    file = path / _FILE
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInput(f"{file} is not valid YAML: {error}") from error
    allowed = _KEYS | {_MODULE, *options}
    if not isinstance(values, dict) or not _KEYS <= values.keys() <= allowed:
        raise BadInput(
            f"{file}: expected the keys {', '.join(sorted(_KEYS))}, if need be "
            f"{', '.join(sorted(allowed - _KEYS))}, and no others"
        )
    root = package_folder(values["package"], str(values["version"]), "the data set", values.get(_MODULE))
    own = {key: value for key, value in values.items() if key in options}
    return Packaged(str(values["format"]), root, own)


def read_packaged(path: Path, formats: Mapping[str, Callable[[Path], T]]) -> T:
    """Return the data of a folder with `source.yaml` by the reader of its format; errors as above."""
    found = find_packaged(path)
    if found.format not in formats:
        raise BadInput(f"{path / _FILE}: this kind of task reads the formats {', '.join(formats)}, not {found.format}")
    return formats[found.format](found.root)
