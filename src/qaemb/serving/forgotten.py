"""Forgetting a text: removing it from the online store and from the history of every version, for good.

The list of segments to forget is written first. Then they are removed from one place after another; each place is
changed at once or not at all. After a kill the next look-up, publication or forgetting finishes the work. The list
stays, so that a matrix with a forgotten segment can be published again without it. A text that a user wants served anew
is taken off the list.

Feast has no call that deletes single entities from an online store, so there is a function for each kind of store.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.files import read_json, read_table, write_json, write_table
from qaemb.identity import text_id
from qaemb.serving.definitions import array_view_name
from qaemb.serving.history import ARRAY_FILE, history_keys, read_history, without, write_history
from qaemb.serving.manifest import ARRAY, ENTITY, HISTORY, TIMESTAMP, all_versions, read_manifest
from qaemb.serving.repository import exclusive, open_store, plain_server_errors

_FILE = "forgotten.json"


class Forgotten:
    """The list of a feature repository's forgotten segments, in its file data/forgotten.json."""

    def __init__(self, repo: Path) -> None:
        self._repo = repo
        self._path = repo / "data" / _FILE

    @property
    def segments(self) -> list[str]:
        """The segments that are not published."""
        return self._read()["segments"]

    def add(self, segments: Sequence[str]) -> None:
        """Put segments on the list; they stay pending until `finish` has removed them. The caller has the lock."""
        self._write(sorted({*self.segments, *segments}), list(segments))

    def finish(self) -> None:
        """Remove the pending segments from every place; the caller has the lock."""
        pending = self._read()["pending"]
        manifest = read_manifest(self._repo)
        if not pending or manifest is None:
            return
        data = self._repo / "data"
        with plain_server_errors(self._repo):
            _delete_online(open_store(self._repo), manifest.version, pending)
        for folder in (self._repo / HISTORY, data / HISTORY):
            for key in history_keys(folder):
                write_history(folder, key, without(read_history(folder, key), pending))
        for path in [data / ARRAY_FILE, *(data / version.file for version in all_versions(self._repo))]:
            if path.exists():
                table = read_table(path)
                rest = without(table, pending)
                if rest is not table:
                    write_table(path, rest)
        self._write(self.segments, [])

    def resume(self) -> None:
        """Finish the work of a process that was killed while it removed segments; this takes the lock."""
        if self._read()["pending"]:
            with exclusive(self._repo):
                self.finish()

    def remove(self, segments: Collection[str]) -> None:
        """Take segments off the list, because a user wants them served; the caller has the lock."""
        rest = [segment for segment in self.segments if segment not in segments]
        if rest != self.segments:
            self._write(rest, [])

    def copy_to(self, folder: Path) -> None:
        """Copy the list into the folder that is going to be `data/`."""
        if self._path.exists():
            shutil.copy(self._path, folder)

    def _read(self) -> dict[str, list[str]]:
        return read_json(self._path) if self._path.exists() else {"segments": [], "pending": []}

    def _write(self, segments: list[str], pending: list[str]) -> None:
        write_json(self._path, {"segments": segments, "pending": pending})


def forget(repo: Path, texts: Sequence[str]) -> int:
    """Remove texts from the stores that serve them and from the history of all versions; return how many rows.

    BadInput if nothing is published, for an empty text, and for a kind of online store that qaemb can't delete from.
    """
    if read_manifest(repo) is None:
        raise BadInput(f"{repo} publishes nothing, so that there is nothing to forget")
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"text number {number} is empty or no string; give the text that is to be forgotten")
    _require_deletable(open_store(repo))
    segments = [text_id(text) for text in texts]
    forgotten = Forgotten(repo)
    with exclusive(repo):
        forgotten.finish()
        n_rows = _count(repo, segments)
        forgotten.add(segments)
        forgotten.finish()
    return n_rows


def _count(repo: Path, segments: Collection[str]) -> int:
    """Return the number of rows of these segments in the history, and in the array's table: only that has pushes."""
    data, manifest = repo / "data", read_manifest(repo)
    tables = [(key, read_history(data / HISTORY, key)) for key in history_keys(data / HISTORY)]
    if manifest is not None:
        tables.append((manifest.answerer_key, read_table(data / ARRAY_FILE)))
    rows: set[tuple[str, ...]] = set()
    for key, table in tables:
        part = table[table[ENTITY].isin(list(segments))]
        rows.update((key, segment, str(time)) for segment, time in zip(part[ENTITY], part[TIMESTAMP], strict=True))
    return len(rows)


def _require_deletable(store: Any) -> None:
    """Raise BadInput for a kind of online store that qaemb can't delete from."""
    kind = str(store.config.online_store.type)
    if kind not in _DELETERS:
        raise BadInput(
            f"how to take a text out of an online store of type `{kind}` is not known; known are {', '.join(_DELETERS)}"
        )


def _delete_online(store: Any, version: str, segments: Sequence[str]) -> None:
    """Take segments out of the array with this version in the online store, all of them or none."""
    _require_deletable(store)
    _DELETERS[str(store.config.online_store.type)](store, version, _entity_keys(store, segments))


def _entity_keys(store: Any, segments: Sequence[str]) -> list[bytes]:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys = [EntityKey(join_keys=[ENTITY], entity_values=[Value(string_val=segment)]) for segment in segments]
    version = store.config.entity_key_serialization_version
    return [serialize_entity_key(key, entity_key_serialization_version=version) for key in keys]


def _table(store: Any, version: str) -> str:
    return f"{store.project}_{array_view_name(version)}"


def _from_sqlite(store: Any, version: str, keys: list[bytes]) -> None:
    connection = store._get_provider().online_store._get_conn(store.config)
    connection.execute("PRAGMA secure_delete = ON")  # the file's old bytes are overwritten
    with connection:
        statement = f'DELETE FROM "{_table(store, version)}" WHERE entity_key = ?'
        connection.executemany(statement, [(key,) for key in keys])


def _from_postgres(store: Any, version: str, keys: list[bytes]) -> None:
    from psycopg import sql

    with store._get_provider().online_store._get_conn(store.config) as connection, connection.cursor() as cursor:
        statement = sql.SQL("DELETE FROM {} WHERE entity_key = ANY(%s)").format(sql.Identifier(_table(store, version)))
        cursor.execute(statement, (keys,))
        connection.commit()


def _from_redis(store: Any, version: str, keys: list[bytes]) -> None:
    from feast.infra.online_stores.helpers import _mmh3

    view = array_view_name(version)
    fields = [_mmh3(f"{view}:{ARRAY}"), f"_ts:{view}".encode()]
    client = store._get_provider().online_store._get_client(store.config.online_store)
    with client.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.hdel(key + store.project.encode(), *fields)  # a key without fields is gone
        pipe.execute()


_DELETERS: dict[str, Callable[[Any, str, list[bytes]], None]] = {
    "sqlite": _from_sqlite,
    "postgres": _from_postgres,
    "redis": _from_redis,
}
