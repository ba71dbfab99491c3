"""Data sets that come in an installed package: a folder with `source.yaml` says which package, and in what format.

One of them is Lee's: news documents with people's similarity of every pair, in the test data of the package gensim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.files import package_folder
from qaemb.rows import read_text

T = TypeVar("T")

_FILE = "source.yaml"
_KEYS = {"package", "version", "format"}
_MODULE = "module"


@dataclass(frozen=True)
class _Packaged:
    """The folder of an installed package, the format of the data in it, and the values of the keys of that format."""

    format: str
    root: Path
    options: Mapping[str, Any] = field(default_factory=dict)


def is_packaged(path: Path) -> bool:
    """Return whether a data set's folder names a package."""
    return (path / _FILE).is_file()


def find_packaged(path: Path, options: Collection[str] = ()) -> _Packaged:
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
    format_options = {key: value for key, value in values.items() if key in options}
    return _Packaged(str(values["format"]), root, format_options)


def read_packaged(path: Path, formats: Mapping[str, Callable[[Path], T]]) -> T:
    """Return the data of a folder with `source.yaml` by the reader of its format; errors as above."""
    packaged = find_packaged(path)
    if packaged.format not in formats:
        raise BadInput(
            f"{path / _FILE}: this kind of task reads the formats {', '.join(formats)}, not {packaged.format}"
        )
    return formats[packaged.format](packaged.root)


_FOLDER = Path("test/test_data")
_ENCODING = "latin-1"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"']?\s+(?=[\"']?[A-Z])")


def read_lee(root: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return 50 documents and their mean similarity (documents, documents), symmetric, from 0.2 (least) to 1.

    The file has the upper triangle; the diagonal is 1. BadInput names the file and line that is wrong.
    """
    texts = _documents(root / _FOLDER / "lee.cor")
    path = root / _FOLDER / "similarities0-1.txt"
    upper = np.zeros((len(texts), len(texts)))
    lines = _documents(path)
    if len(lines) != len(texts):
        raise BadInput(f"{path} has {len(lines)} rows for {len(texts)} documents; install the package again")
    for number, line in enumerate(lines):
        try:
            upper[number] = [float(value) for value in line.split()]
        except ValueError as error:
            raise BadInput(f"{path}, line {number + 1}: expected {len(texts)} numbers ({error})") from error
    half = np.triu(upper, 1)
    return texts, half + half.T + np.eye(len(texts))


def read_leads(root: Path) -> list[tuple[str, str]]:
    """Return the first sentence and the rest of each of Lee's 300 background documents that has more than one."""
    parts = (_SENTENCE_END.split(text, maxsplit=1) for text in _documents(root / _FOLDER / "lee_background.cor"))
    return [(part[0], part[1]) for part in parts if len(part) == 2]


def _documents(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path, _ENCODING).split("\n") if line.strip()]
