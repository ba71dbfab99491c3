"""A feature repository's folder: its lock, the Feast store that it opens, and errors of the servers that it names."""

from __future__ import annotations

import fcntl
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput, QaembError, install_command

CONFIG = "feature_store.yaml"
_SERVERS = ("redis", "psycopg", "psycopg_pool", "sqlalchemy")  # packages whose errors are those of a server


def open_store(repo: Path) -> Any:
    """Return the feast.FeatureStore of a repository; BadInput when its feature_store.yaml is missing or wrong."""
    if not (repo / CONFIG).exists():
        raise BadInput(f"{repo / CONFIG} does not exist; run from the project's root, where feature_repo/ is")
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
