"""Where the files of an answer store lie: a local folder, or a prefix of an object store.

Both hold folders (one per answerer) of small immutable files, and both publish a file whole or not at all: a folder by
temporary file, flush, rename and flush of the folder; an object store by one PUT. A name holds the hash of its content,
so that writing a name twice writes the same bytes: no lock and no condition is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from qaemb.errors import BadParameter, QaembError, StoreError, install_command
from qaemb.files import atomic_file, fsync_folder, plain_os_errors

_BATCH = 32  # objects fetched at once


class Blobs(Protocol):
    """Folders of immutable files. Names that begin with a dot are unfinished or foreign, and are not listed."""

    def address(self, folder: str, name: str = "") -> str:
        """Return where a file or folder is, for messages."""

    def folders(self) -> list[str]:
        """Return the names of all folders, sorted."""

    def names(self, folder: str) -> list[str]:
        """Return the names of all files of a folder, sorted; none if there is no such folder."""

    def size(self, folder: str) -> int:
        """Return the bytes of all files of a folder together."""

    def read(self, folder: str, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield each file and its bytes, None for one that is gone; StoreError for one that can't be read."""

    def publish(self, folder: str, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, durable on return; StoreError if it can't be written."""

    def remove(self, folder: str, name: str) -> None:
        """Remove a file; nothing happens if it is gone."""


def open_blobs(root: str | Path) -> Blobs:
    """Return the files under a folder, or under a URL that fsspec knows (`s3://bucket/prefix`)."""
    if isinstance(root, str) and "://" in root:
        return ObjectBlobs(root.rstrip("/"))
    return FolderBlobs(Path(root))


class FolderBlobs:
    """Files in a local (or mounted) folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def address(self, folder: str, name: str = "") -> str:
        """Return the path."""
        return str(self.root / folder / name)

    def folders(self) -> list[str]:
        """Return the names of all folders, sorted."""
        try:
            entries = list(os.scandir(self.root))
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))

    def names(self, folder: str) -> list[str]:
        """Return the names of all files of a folder, sorted."""
        try:
            entries = os.listdir(self.root / folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.root / folder} can't be read ({error.strerror}); make it readable") from error
        return sorted(name for name in entries if not name.startswith("."))

    def size(self, folder: str) -> int:
        """Return the bytes of all files of a folder together."""
        return sum((self.root / folder / name).stat().st_size for name in self.names(folder))

    def read(self, folder: str, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield each file and its bytes."""
        for name in names:
            path = self.root / folder / name
            try:
                yield name, path.read_bytes()
            except FileNotFoundError:
                yield name, None
            except OSError as error:
                raise StoreError(
                    f"block {path} can't be read ({error.strerror}); make it readable, or move it out of the store: "
                    "then only its cells are answered anew"
                ) from error

    def publish(self, folder: str, name: str, content: bytes) -> None:
        """Write a file by a temporary one that is flushed and renamed."""
        path = self.root / folder / name
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        except QaembError as error:
            raise StoreError(str(error)) from error

    def remove(self, folder: str, name: str) -> None:
        """Remove a file."""
        path = self.root / folder / name
        with plain_os_errors(path):
            path.unlink(missing_ok=True)
            if path.parent.exists():
                fsync_folder(path.parent)

    def unfinished(self, folder: str, older_than: float) -> list[Path]:
        """Return temporary files that a killed process left, last changed before a time (s since 1970)."""
        hidden = (self.root / folder).glob(".*.tmp")
        return sorted(path for path in hidden if path.stat().st_mtime < older_than)


class ObjectBlobs:
    """Files under a prefix of an object store, through fsspec."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def _place(self) -> tuple[Any, str]:
        import fsspec

        try:
            # Without a cache of listings: other machines write here, too.
            files, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BadParameter(
                f"answers.store {self.url} can't be opened: {error}; for s3:// run {install_command('s3')}, "
                "or name a folder"
            ) from error
        return files, path.rstrip("/")

    def address(self, folder: str, name: str = "") -> str:
        """Return the URL."""
        return "/".join(part for part in (self.url, folder, name) if part)

    def folders(self) -> list[str]:
        """Return the names of all folders, sorted."""
        return sorted(self._listed("", "directory"))

    def names(self, folder: str) -> list[str]:
        """Return the names of all files of a folder, sorted."""
        return sorted(self._listed(folder, "file"))

    def size(self, folder: str) -> int:
        """Return the bytes of all files of a folder together."""
        return sum(self._listed(folder, "file").values())

    def read(self, folder: str, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield each file and its bytes, some fetched at once."""
        files, root = self._place
        for start in range(0, len(names), _BATCH):
            batch = list(names[start : start + _BATCH])
            paths = [f"{root}/{folder}/{name}" for name in batch]
            with self._errors(self.address(folder, batch[0])):
                found = files.cat(paths, on_error="return")
            for name, path in zip(batch, paths, strict=True):
                content = found.get(path)
                if isinstance(content, BaseException) and not isinstance(content, FileNotFoundError):
                    with self._errors(self.address(folder, name)):
                        raise content
                yield name, content if isinstance(content, bytes) else None

    def publish(self, folder: str, name: str, content: bytes) -> None:
        """Write an object by one PUT."""
        files, root = self._place
        with self._errors(self.address(folder, name)):
            files.pipe_file(f"{root}/{folder}/{name}", content)

    def remove(self, folder: str, name: str) -> None:
        """Remove an object."""
        files, root = self._place
        with self._errors(self.address(folder, name)):
            try:
                files.rm_file(f"{root}/{folder}/{name}")
            except FileNotFoundError:
                return

    def _listed(self, folder: str, kind: str) -> dict[str, int]:
        """Return the sizes of a folder's entries of a kind, by name."""
        files, root = self._place
        with self._errors(self.address(folder)):
            try:
                entries = files.ls(f"{root}/{folder}".rstrip("/"), detail=True)
            except FileNotFoundError:
                return {}
        own = ((entry["name"].rstrip("/").rsplit("/", 1)[-1], entry) for entry in entries if entry["type"] == kind)
        return {name: int(entry["size"] or 0) for name, entry in own if name and not name.startswith(".")}

    @contextmanager
    def _errors(self, address: str) -> Iterator[None]:
        """Turn whatever a client library raises into one message; each has classes of its own."""
        try:
            yield
        except Exception as error:
            raise StoreError(
                f"{address}: {type(error).__name__}: {error}; check the address, the credentials and the network, then "
                "run again: what was published stays"
            ) from error
