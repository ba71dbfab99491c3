"""Building the Feast store of a feature repository.

Published answers are in two folders. The stage `publish` adds to `history/`, which travels with DVC. Feast reads
`data/`, which belongs to one machine: it has everything in `history/` and the texts that were pushed here, under every
version. Each publication builds a new `data/` beside the old one and swaps the two. An online store on a server can't
be swapped: there the new array gets a view of its own, named by its version, and the services go over to it when all of
its rows are there.
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
from qaemb.serving.definitions import TAGS, array_view_name, feast_objects, former_array_views
from qaemb.serving.forgotten import Forgotten
from qaemb.serving.history import (
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
    HISTORY,
    TIMESTAMP,
    Manifest,
    Version,
    add_versions,
    all_versions,
    read_manifest,
    read_versions,
    write_manifest,
)
from qaemb.serving.repository import CONFIG, exclusive, open_store, plain_server_errors, quiet

_SUPERSEDED = "superseded.json"


def build_store(
    repo: Path,
    manifest: Manifest,
    segments: Sequence[str],
    margins: np.ndarray,
    answered: NDArray[np.datetime64] | None = None,
) -> int:
    """Publish margins (float32, segments x questions) and return how many rows of history are new.

    `answered` is the time at which each segment's row was complete (UTC; None: no times). Only cells that differ from
    the history are added to it. `repo/data` is replaced by a store with the whole history; on an error it stays as it
    is. A `feast serve` that runs serves the old store until it is started again.
    """
    config = open_store(repo).config
    times = np.full(len(segments), UNKNOWN_TIME) if answered is None else answered
    with exclusive(repo):
        forgotten = Forgotten(repo)
        forgotten.finish()
        rows = without(history_table(segments, times, manifest.question_ids, margins), forgotten.segments)
        # `dvc checkout` may have brought a forgotten segment back.
        old = without(read_history(repo / HISTORY, manifest.answerer_key), forgotten.segments)
        new = merged(old, rows)
        on_server = not (_is_local(config) and _is_local_registry(config))
        superseded = _superseded(repo, manifest) if on_server else []
        if on_server and (repo / "data").exists():  # after a kill the next publication finds the new array in this list
            write_json(repo / "data" / _SUPERSEDED, [*superseded, manifest.version])
        _replace_data(repo, config, manifest, new, superseded)
        if on_server:
            _switch_server(repo, manifest, superseded)
        # Last: `history/` then has only what was published. After a kill, publishing again gives the same result.
        write_history(repo / HISTORY, manifest.answerer_key, new)
        add_versions(repo / HISTORY, manifest.versions)
    return len(new) - len(old)


def _replace_data(repo: Path, config: Any, manifest: Manifest, published: pd.DataFrame, superseded: list[str]) -> None:
    """Swap in a new folder data/. `published` is the history of the manifest's answerer that is going to travel."""
    histories = _all_histories(repo, manifest.answerer_key, published)
    versions = all_versions(repo, *manifest.versions)
    with atomic_folder(repo / "data") as folder:
        scratch = folder / "scratch"
        data = scratch / "data"
        data.mkdir(parents=True)
        _write_config(repo, config, scratch)
        for key, history in histories.items():
            write_history(data / HISTORY, key, history)
        add_versions(data, versions)
        Forgotten(repo).copy_to(data)
        if superseded:
            write_json(data / _SUPERSEDED, superseded)
        write_offline(data, manifest, versions, histories)
        with plain_server_errors(repo):
            _apply_and_materialise(scratch, manifest, versions, histories[manifest.answerer_key])
        if not _is_local_registry(config):
            (data / "registry.db").unlink()
        for path in data.iterdir():
            os.replace(path, folder / path.name)
        shutil.rmtree(scratch)
        write_manifest(folder, manifest)


def _all_histories(repo: Path, answerer_key: str, published: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return each answerer's history: published answers, and those pushed here, also through Feast's own commands.

    `published` is the history of `answerer_key` that is going to travel.
    """
    data = repo / "data"
    keys = {*history_keys(repo / HISTORY), *history_keys(data / HISTORY)} - {answerer_key}
    histories = {
        key: merged(read_history(data / HISTORY, key), read_history(repo / HISTORY, key)) for key in sorted(keys)
    }
    histories[answerer_key] = merged(read_history(data / HISTORY, answerer_key), published)
    served = read_manifest(repo)
    # A folder without versions.json is older than versions: its rows have no times and are left out.
    if served is not None and served.answerer_key in histories and read_versions(data):
        histories[served.answerer_key] = merged(histories[served.answerer_key], read_arrays(data, served))
    forgotten = Forgotten(repo).segments
    return {key: without(history, forgotten) for key, history in histories.items()}


def _write_config(repo: Path, config: Any, scratch: Path) -> None:
    """Write the configuration for building a store in `scratch`, whose registry is a file there in any case."""
    if _is_local_registry(config):
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
    """Return the versions of arrays that may still be on a server and are not served any more."""
    path, served = repo / "data" / _SUPERSEDED, read_manifest(repo)
    old = read_json(path) if path.exists() else []
    return [name for name in dict.fromkeys([*old, *([served.version] if served else [])]) if name != manifest.version]


def _switch_server(repo: Path, manifest: Manifest, superseded: list[str]) -> None:
    """Let services on a server go over to the new array, then drop the old arrays.

    In the registry `objects` replace qaemb's former ones. After a kill the next publication does this.
    """
    store = open_store(repo)
    objects = list(feast_objects(manifest, all_versions(repo)).values())
    with quiet(), plain_server_errors(repo):
        if not _is_local_registry(store.config):
            names = {feast_object.name for feast_object in objects}
            listed = [
                *store.list_feature_services(),
                *store.list_on_demand_feature_views(),
                *store.list_feature_views(),
            ]
            former = [one for one in listed if TAGS.items() <= one.tags.items() and one.name not in names]
            store.apply(objects, objects_to_delete=former, partial=False)
        # The registry does not list the array of a publication that was interrupted.
        views = former_array_views(superseded)
        store._get_provider().update_infra(store.project, views, store.list_feature_views(), [], [], True)
    write_json(repo / "data" / _SUPERSEDED, [])


def _is_local(config: Any) -> bool:
    """Return whether the online store is a file of this repository, which is swapped with the folder data/."""
    return str(config.online_store.type) == "sqlite"


def _is_local_registry(config: Any) -> bool:
    """Return whether the registry is a file of this repository."""
    return str(config.registry.registry_type) == "file"
