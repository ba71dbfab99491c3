"""A feature repository's folder: its configuration, its lock, and the Feast store that it opens.

What Feast's online stores do not offer by one name: taking single entities out, and arrays that are superseded.
"""

from __future__ import annotations

import fcntl
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput, QaembError, install_command
from qaemb.serving.definitions import TAGS, array_source, array_view, array_view_name, entity
from qaemb.serving.history import HISTORY
from qaemb.serving.manifest import ARRAY, ENTITY, Version, joined, read_versions

CONFIG = "feature_store.yaml"
_SERVERS = ("redis", "psycopg", "psycopg_pool", "sqlalchemy")  # packages whose errors are those of a server


def require_config(repo: Path) -> None:
    """Refuse a folder without feature_store.yaml."""
    if not (repo / CONFIG).exists():
        raise BadInput(f"{repo / CONFIG} does not exist; run from the project's root, where feature_repo/ is")


def open_store(repo: Path) -> Any:
    """Return the feast.FeatureStore of a repository; BadInput when its feature_store.yaml is missing or wrong."""
    require_config(repo)
    os.environ.setdefault("FEAST_USAGE", "False")
    from feast import FeatureStore
    from feast.errors import FeastError
    from feast.repo_config import FeastConfigError

    try:
        with plain_server_errors(repo):
            store = FeatureStore(repo_path=str(repo))
            # Feast reads these parts, and imports and reaches what they name, only when it is asked for them.
            _ = store.config.online_store, store.registry
    except FeastError as error:
        raise BadInput(
            f"{repo / CONFIG} names a store that Feast can't load ({error}); a server's package may lack: "
            f"run {install_command('redis')}, or the same with `postgres` (docs/serving.md)"
        ) from error
    except (FeastConfigError, yaml.YAMLError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise BadInput(f"{repo / CONFIG} is not a configuration that Feast accepts: {error}") from error
    return store


@contextmanager
def exclusive(repo: Path) -> Iterator[None]:
    """Let one process at a time change a repository's store (an advisory lock on the folder itself)."""
    handle = os.open(repo, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Feast prints and warns of out of a command's output."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def plain_server_errors(repo: Path) -> Iterator[None]:
    """Turn a server's refusal or silence into a message that says where it is configured."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] in _SERVERS:
            raise QaembError(
                f"a server that {repo / CONFIG} names failed ({type(error).__name__}: {error}); see that it runs and "
                "run again"
            ) from error
        raise


def all_versions(repo: Path) -> tuple[Version, ...]:
    """Return every version that can be asked for, the oldest first: known from `history/`, or published here."""
    return joined(read_versions(repo / HISTORY), read_versions(repo / "data"))


def is_local(config: Any) -> bool:
    """Return whether the online store is a file of this repository, which is swapped with the folder data/."""
    return str(config.online_store.type) == "sqlite"


def is_local_registry(config: Any) -> bool:
    """Return whether the registry is a file of this repository."""
    return str(config.registry.registry_type) == "file"


def switch_server(store: Any, objects: list[Any], superseded: Sequence[str]) -> None:
    """Put `objects` in place of qaemb's former ones in a registry on a server, and drop superseded arrays online."""
    if not is_local_registry(store.config):
        names = {one.name for one in objects}
        listed = [store.list_feature_services(), store.list_on_demand_feature_views(), store.list_feature_views()]
        ours = [one for own in listed for one in own if TAGS.items() <= one.tags.items()]
        former = [one for one in ours if one.name not in names]
        store.apply(objects, objects_to_delete=former, partial=False)
    # An array of a publication that ended on the way is in no registry.
    views = [array_view(version, entity(), array_source(version)) for version in superseded]
    store._get_provider().update_infra(store.project, views, store.list_feature_views(), [], [], True)


def require_deletable(store: Any) -> None:
    """Refuse a kind of online store of which it is not known how to take a segment out."""
    kind = str(store.config.online_store.type)
    if kind not in _DELETERS:
        raise BadInput(
            f"how to take a text out of an online store of type `{kind}` is not known; known are {', '.join(_DELETERS)}"
        )


def delete_online(store: Any, version: str, segments: Sequence[str]) -> None:
    """Take segments out of the array with this version in the online store, all of them or none."""
    require_deletable(store)
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
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten in the file
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
