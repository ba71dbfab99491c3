"""Building and opening the Feast store of a feature repository."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.errors import BadInput
from qaemb.files import atomic_folder
from qaemb.serving.definitions import ARRAY_VIEW, feast_objects
from qaemb.serving.manifest import Manifest, write_manifest
from qaemb.serving.offline import ANSWERED_AT, write_offline

_CONFIG = "feature_store.yaml"


def open_store(repo: Path) -> Any:
    """Return the feast.FeatureStore of a repository; BadInput when its feature_store.yaml is missing or wrong."""
    _require_config(repo)
    os.environ.setdefault("FEAST_USAGE", "False")
    import yaml
    from feast import FeatureStore
    from feast.repo_config import FeastConfigError

    try:
        return FeatureStore(repo_path=str(repo))
    except (FeastConfigError, yaml.YAMLError) as error:
        raise BadInput(f"{repo / _CONFIG} is not a configuration that Feast accepts: {error}") from error


@contextmanager
def exclusive(repo: Path) -> Iterator[None]:
    """Let one process at a time change a repository's store (an advisory lock on the folder itself)."""
    handle = os.open(repo, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def build_store(repo: Path, manifest: Manifest, segments: list[str], margins: np.ndarray) -> None:
    """Replace repo/data by a store with these margins (float32, segments x questions): all of it or nothing.

    The store is built in a folder of its own beside the old one: offline tables, registry, online store; then the two
    are swapped. A `feast serve` that runs keeps the old store until it is started again.
    """
    _require_config(repo)
    with exclusive(repo), atomic_folder(repo / "data") as folder:
        scratch = folder / "scratch"
        (scratch / "data").mkdir(parents=True)
        shutil.copy(repo / _CONFIG, scratch)
        write_offline(scratch / "data", segments, margins, manifest.names)
        _apply_and_materialise(scratch, manifest)
        for path in (scratch / "data").iterdir():
            os.replace(path, folder / path.name)
        shutil.rmtree(scratch)
        write_manifest(folder, manifest)


def _require_config(repo: Path) -> None:
    if not (repo / _CONFIG).exists():
        raise BadInput(f"{repo / _CONFIG} does not exist; run from the project's root, where feature_repo/ is")


def _apply_and_materialise(repo: Path, manifest: Manifest) -> None:
    store = open_store(repo)
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="On demand feature view is an experimental feature")
        store.apply(list(feast_objects(manifest).values()))
        day = pd.Timedelta(days=1)
        store.materialize(ANSWERED_AT - day, ANSWERED_AT + day, feature_views=[ARRAY_VIEW])
