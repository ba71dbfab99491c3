"""Building and opening the Feast store of a feature repository.

What is published is kept twice. `history/` is what the stage `publish` adds to, and travels with DVC. `data/` is what
Feast reads on this machine: everything in `history/`, and the texts that were pushed here, under every version; each
publication builds it anew beside the old one and swaps the two. An online store on a server can't be swapped: there the
new array gets a view of its own, by its version, and the services go over to it when all of its rows are there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from qaemb.answers.blocks import UNKNOWN_TIME
from qaemb.files import atomic_folder, read_json, write_json
from qaemb.serving.definitions import array_view_name, feast_objects
from qaemb.serving.forgotten import finish_forgetting, keep_forgotten, read_forgotten
from qaemb.serving.history import (
    HISTORY,
    history_keys,
    history_table,
    merged,
    read_arrays,
    read_history,
    without,
    write_history,
    write_offline,
)
from qaemb.serving.manifest import (
    TIMESTAMP,
    Manifest,
    Version,
    joined,
    read_manifest,
    read_versions,
    write_manifest,
    write_versions,
)
from qaemb.serving.repository import (
    CONFIG,
    all_versions,
    exclusive,
    is_local,
    is_local_registry,
    open_store,
    plain_server_errors,
    quiet,
    switch_server,
)

_SUPERSEDED = "superseded.json"


def build_store(
    repo: Path,
    manifest: Manifest,
    segments: Sequence[str],
    margins: np.ndarray,
    answered: NDArray[np.datetime64] | None = None,
) -> int:
    """Publish margins (float32, segments x questions) and return how many rows of history are new.

    `answered` says when each segment's row was complete (UTC; None: not known). Only what differs from the history is
    added to it. `repo/data` is replaced by a store with all of it, or left as it is. A `feast serve` that runs keeps
    the old store until it is started again.
    """
    config = open_store(repo).config
    times = np.full(len(segments), UNKNOWN_TIME) if answered is None else answered
    with exclusive(repo):
        finish_forgetting(repo)
        gone = read_forgotten(repo)
        rows = without(history_table(segments, times, manifest.question_ids, margins), gone)
        old = without(
            read_history(repo / HISTORY, manifest.answerer_key), gone
        )  # `dvc checkout` may have brought it back
        new = merged(old, rows)
        on_server = not (is_local(config) and is_local_registry(config))
        superseded = _superseded(repo, manifest) if on_server else []
        if on_server and (repo / "data").exists():  # so that a kill from here on leaves no array that nobody knows of
            write_json(repo / "data" / _SUPERSEDED, [*superseded, manifest.version])
        _replace_data(repo, config, manifest, new, superseded)
        if on_server:
            _switch_server(repo, manifest, superseded)
        # Last, so that what travels was published; after a kill before, publishing again comes to the same.
        write_history(repo / HISTORY, manifest.answerer_key, new)
        write_versions(repo / HISTORY, joined(read_versions(repo / HISTORY), manifest.versions))
    return len(new) - len(old)


def _replace_data(repo: Path, config: Any, manifest: Manifest, published: pd.DataFrame, superseded: list[str]) -> None:
    """Swap in a folder data/ with all that is known and the history of what is published now."""
    histories = _everything(repo, manifest.answerer_key, published)
    versions = joined(all_versions(repo), manifest.versions)
    with atomic_folder(repo / "data") as folder:
        scratch = folder / "scratch"
        data = scratch / "data"
        data.mkdir(parents=True)
        _write_config(repo, config, scratch)
        for key, history in histories.items():
            write_history(data / HISTORY, key, history)
        write_versions(data, versions)
        keep_forgotten(repo, data)
        if superseded:
            write_json(data / _SUPERSEDED, superseded)
        write_offline(data, manifest, versions, histories)
        with plain_server_errors(repo):
            _apply_and_materialise(scratch, manifest, versions, histories[manifest.answerer_key])
        if not is_local_registry(config):
            (data / "registry.db").unlink()
        for path in data.iterdir():
            os.replace(path, folder / path.name)
        shutil.rmtree(scratch)
        write_manifest(folder, manifest)


def _everything(repo: Path, answerer_key: str, published: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return all that is known, by answerer key: published, pushed here, and pushed through Feast's own commands.

    `published` is the history of `answerer_key` that is going to travel.
    """
    gone, data = read_forgotten(repo), repo / "data"
    keys = {*history_keys(repo / HISTORY), *history_keys(data / HISTORY)} - {answerer_key}
    found = {key: merged(read_history(data / HISTORY, key), read_history(repo / HISTORY, key)) for key in sorted(keys)}
    found[answerer_key] = merged(read_history(data / HISTORY, answerer_key), published)
    served = read_manifest(repo)
    # Folders from before there were versions are left out: their rows have no times.
    if served is not None and served.answerer_key in found and read_versions(data):
        found[served.answerer_key] = merged(found[served.answerer_key], read_arrays(data, served))
    return {key: without(history, gone) for key, history in found.items()}


def _write_config(repo: Path, config: Any, scratch: Path) -> None:
    """Write the configuration by which a store is built in `scratch`: with a registry of its own in any case."""
    if is_local_registry(config):
        shutil.copy(repo / CONFIG, scratch)
        return
    values = yaml.safe_load((repo / CONFIG).read_text(encoding="utf-8"))
    (scratch / CONFIG).write_text(yaml.safe_dump(values | {"registry": "data/registry.db"}), encoding="utf-8")


def _apply_and_materialise(repo: Path, manifest: Manifest, versions: Sequence[Version], history: pd.DataFrame) -> None:
    store = open_store(repo)
    times = history[TIMESTAMP]
    second = pd.Timedelta(seconds=1)
    first, last = times.min() - second, times.max() + second
    if manifest.ttl_days:
        first = max(first, pd.Timestamp.now(tz="UTC") - pd.Timedelta(days=manifest.ttl_days))
    with quiet():
        store.apply(list(feast_objects(manifest, versions).values()))
        if len(history) and first <= last:
            store.materialize(first, last, feature_views=[array_view_name(manifest.version)])


def _superseded(repo: Path, manifest: Manifest) -> list[str]:
    """Return the versions of arrays that may still stand on a server and are not served any more."""
    path, served = repo / "data" / _SUPERSEDED, read_manifest(repo)
    old = read_json(path) if path.exists() else []
    return [name for name in dict.fromkeys([*old, *([served.version] if served else [])]) if name != manifest.version]


def _switch_server(repo: Path, manifest: Manifest, superseded: list[str]) -> None:
    """Let services on a server go over to the new array, then drop old ones; a kill leaves this to the next time."""
    store = open_store(repo)
    objects = feast_objects(manifest, all_versions(repo))
    with quiet(), plain_server_errors(repo):
        switch_server(store, list(objects.values()), superseded)
    write_json(repo / "data" / _SUPERSEDED, [])
