"""Forgetting a text: out of the online store and of the history of every version, for good.

What is to be forgotten is written down first. Then it is taken out of one place after another, each at once or not at
all. After a kill the next look-up, publication or forgetting goes on where it ended. The list stays, so that a matrix
that has the segment can be published again without it; a text that is asked for anew is taken off the list.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from qaemb.errors import BadInput
from qaemb.files import read_json, read_table, write_json, write_table
from qaemb.identity import text_id
from qaemb.serving.history import ARRAY_FILE, HISTORY, history_keys, read_history, version_file, without, write_history
from qaemb.serving.manifest import ENTITY, TIMESTAMP, read_manifest
from qaemb.serving.repository import (
    all_versions,
    delete_online,
    exclusive,
    open_store,
    plain_server_errors,
    require_deletable,
)

_FILE = "forgotten.json"


def forget(repo: Path, texts: Sequence[str]) -> int:
    """Take texts out of what is served and out of the history of all versions; return how many rows that were.

    BadInput where nothing is published, for an empty text, and for an online store that it is not known how to
    delete from.
    """
    if read_manifest(repo) is None:
        raise BadInput(f"{repo} publishes nothing, so that there is nothing to forget")
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"text number {number} is empty or no string; give the text that is to be forgotten")
    require_deletable(open_store(repo))
    segments = [text_id(text) for text in texts]
    with exclusive(repo):
        finish_forgetting(repo)
        n_rows = _count(repo, segments)
        old = read_forgotten(repo)
        _write(repo, sorted({*old, *segments}), segments)
        finish_forgetting(repo)
    return n_rows


def read_forgotten(repo: Path) -> list[str]:
    """Return the segments that are not to be published."""
    return _read(repo)["segments"]


def unfinished(repo: Path) -> bool:
    """Return whether a process ended while it forgot."""
    return bool(_read(repo)["pending"])


def finish_forgetting(repo: Path) -> None:
    """Take what is still to be forgotten out of every place; the caller has the lock."""
    pending = _read(repo)["pending"]
    manifest = read_manifest(repo)
    if not pending or manifest is None:
        return
    data = repo / "data"
    with plain_server_errors(repo):
        delete_online(open_store(repo), manifest.version, pending)
    for folder in (repo / HISTORY, data / HISTORY):
        for key in history_keys(folder):
            write_history(folder, key, without(read_history(folder, key), pending))
    for path in [data / ARRAY_FILE, *(data / version_file(version.id) for version in all_versions(repo))]:
        if path.exists():
            table = read_table(path)
            kept = without(table, pending)
            if kept is not table:
                write_table(path, kept)
    _write(repo, read_forgotten(repo), [])


def asked_again(repo: Path, segments: Collection[str]) -> None:
    """Take segments off the list, because somebody wants them served; the caller has the lock."""
    old = read_forgotten(repo)
    kept = [segment for segment in old if segment not in segments]
    if kept != old:
        _write(repo, kept, [])


def keep_forgotten(repo: Path, folder: Path) -> None:
    """Copy the list into the folder that is going to be `data/`."""
    if (repo / "data" / _FILE).exists():
        shutil.copy(repo / "data" / _FILE, folder)


def _count(repo: Path, segments: Collection[str]) -> int:
    """Return the rows of these segments in the history, and in the array's table: pushes are in that alone."""
    data, manifest = repo / "data", read_manifest(repo)
    tables = [(key, read_history(data / HISTORY, key)) for key in history_keys(data / HISTORY)]
    if manifest is not None:
        tables.append((manifest.answerer_key, read_table(data / ARRAY_FILE)))
    found: set[tuple[str, ...]] = set()
    for key, table in tables:
        own = table[table[ENTITY].isin(list(segments))]
        found.update((key, segment, str(time)) for segment, time in zip(own[ENTITY], own[TIMESTAMP], strict=True))
    return len(found)


def _read(repo: Path) -> dict[str, list[str]]:
    path = repo / "data" / _FILE
    return read_json(path) if path.exists() else {"segments": [], "pending": []}


def _write(repo: Path, segments: list[str], pending: list[str]) -> None:
    write_json(repo / "data" / _FILE, {"segments": segments, "pending": pending})
