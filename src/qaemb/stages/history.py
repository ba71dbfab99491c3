"""`qaemb features --versions` and `--forget`: what can be asked of the feature store, and taking texts out of it."""

from __future__ import annotations

import pandas as pd

from qaemb.errors import BadInput
from qaemb.serving import Version, all_versions, forget, read_manifest, version_rows
from qaemb.workspace import Workspace


def list_versions(workspace: Workspace) -> None:
    """Print every version that was published, the latest last: service, answerer, questions, rows and their times.

    `online` says how it is served now: under the name of its set, under its own name alone, or not at all.
    """
    repo = workspace.feature_repo
    versions = all_versions(repo)
    if not versions:
        raise BadInput(f"{repo} has no versions yet; run `dvc repro publish`")
    print(pd.DataFrame([_line(workspace, version) for version in versions]).to_string(index=False))


def _line(workspace: Workspace, version: Version) -> dict[str, object]:
    repo = workspace.feature_repo
    manifest, times = read_manifest(repo), version_rows(repo, version)["event_timestamp"]
    current = manifest is not None and version in manifest.versions
    online = version.set_name if current else "yes" if manifest is not None and manifest.serves(version) else "no"
    return {
        "service": version.service,
        "answerer": version.answerer,
        "key": version.answerer_key,
        "questions": len(version.questions),
        "rows": len(times),
        "first answered": f"{times.min():%Y-%m-%d %H:%M:%S}" if len(times) else "-",
        "last answered": f"{times.max():%Y-%m-%d %H:%M:%S}" if len(times) else "-",
        "online": online,
    }


def forget_texts(workspace: Workspace, texts: list[str]) -> None:
    """Take texts out of the feature store and its history, and print what remains elsewhere."""
    n_rows = forget(workspace.feature_repo, texts)
    print(f"forgotten: {len(texts)} texts, {n_rows} rows of history; neither is served nor joined from now on")
    print(
        "what remains: in data/store, where a job answered it, its margins under the hash of the text; the text itself "
        "where it is part of the data set (the source, data/work/dataset, data/work/segments); older states of "
        "feature_repo/history that DVC cached or pushed (docs/serving.md)"
    )
