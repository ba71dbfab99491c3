"""Stage `publish`, which puts a validated answer matrix into the feature store, and the command `qaemb features`.

The command looks up the features of texts (and has new texts answered), lists the versions that were published, and
takes texts out of the store.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers import Answerer, open_answerer
from qaemb.answers.approval import require_approved
from qaemb.answers.blocks import UNKNOWN_TIME
from qaemb.errors import BadInput, BadMatrix, require_name
from qaemb.files import read_json, read_table
from qaemb.questions import Question, load_set
from qaemb.questions.sets import read_set_file
from qaemb.serving import (
    Manifest,
    ServedFeatures,
    Version,
    all_versions,
    build_store,
    forget,
    read_manifest,
    version_rows,
)
from qaemb.settings import PublishSettings, Settings
from qaemb.workspace import Workspace


def publish(settings: Settings, workspace: Workspace) -> None:
    """Serve the matrix and question sets that params.yaml (`publish`) names, and add their new cells to the history.

    BadMatrix if the matrix is not the one that `validate` approved.
    """
    manifest = _manifest(settings, workspace, settings.publish)
    margin = read_table(workspace.answers(manifest.job) / "margin.parquet")
    if list(margin.columns[1:]) != manifest.names:
        raise BadMatrix(f"the matrix of job `{manifest.job}` has not the questions of its set; run `dvc repro`")
    size = f"{len(margin)} segments x {len(manifest.questions)} questions"
    print(f"publish: building the feature store for {size}, some 10 s ...", file=sys.stderr)
    margins = margin[manifest.names].to_numpy(np.float32)
    segments = list(margin["segment_id"])
    n_new = build_store(
        workspace.feature_repo, manifest, segments, margins, _answered(workspace, manifest.job, segments)
    )
    print(f"publish: {manifest.job} is served: {size}, feature services {', '.join(manifest.sets)}")
    print(
        f"publish: {n_new} new rows of history; versions {', '.join(version.service for version in manifest.versions)}"
    )
    _say_approximation("publish", manifest)


def features_of_texts(settings: Settings, workspace: Workspace, texts: list[str], set_name: str) -> pd.DataFrame:
    """Return the named margins of texts (rows) under a published set, answering those that are new.

    The published answerer answers. BadInput if its name in params.yaml now means an answerer with another key.
    """
    served = ServedFeatures(workspace.feature_repo)
    served.columns(set_name)
    _say_approximation("features", served.manifest)
    answerer = _published_answerer(settings, workspace, served.manifest.answerer)
    new = served.unknown(texts, set_name)
    if new:
        print(f"features: `{served.manifest.answerer}` answers {len(new)} new texts ...", file=sys.stderr)
    return served.features_for(texts, set_name, answerer)


def show_features(settings: Settings, workspace: Workspace, texts: list[str], set_name: str) -> None:
    """Print the named margins of each text, the surest yes first."""
    table = features_of_texts(settings, workspace, texts, set_name)
    for text, row in zip(table.index, table.to_numpy(), strict=True):
        margins = pd.Series(row, index=table.columns).sort_values(ascending=False, kind="stable")
        width = max(len(name) for name in margins.index)
        print(f"{text}\n  {'question':{width}}  margin")
        for name, value in margins.items():
            print(f"  {name:{width}}  {value:+.3f}")


def _published_answerer(settings: Settings, workspace: Workspace, name: str) -> Answerer:
    require_name(settings.answers.spec, name, "published answerer", "params.yaml: answers.spec")
    return open_answerer(name, settings.answers.spec, workspace.model, workspace.root)


def _answered(workspace: Workspace, job: str, segments: list[str]) -> NDArray[np.datetime64] | None:
    """Return when each segment was answered (UTC); None, and a message, if an older run did not write the times."""
    path = workspace.answers(job) / "answered.parquet"
    if not path.exists():
        print(
            f"publish: {path} does not exist, so that its answers count as given at {UNKNOWN_TIME} UTC; "
            f"`dvc repro --force --single-item answers@{job}` writes it and answers nothing",
            file=sys.stderr,
        )
        return None
    table = read_table(path)
    if list(table["segment_id"]) != segments:
        raise BadMatrix(f"{path} has not the segments of the matrix; run `dvc repro`")
    return table["answered_at"].dt.tz_convert(None).to_numpy("datetime64[us]")


def _say_approximation(title: str, manifest: Manifest) -> None:
    """Print on stderr which answerer a cascade approximates, and how well."""
    if manifest.approximates:
        print(f"{title}: `{manifest.answerer}` {manifest.approximates}", file=sys.stderr)


def _manifest(settings: Settings, workspace: Workspace, spec: PublishSettings) -> Manifest:
    """Return what the settings publish; BadMatrix if the job's matrix is not the one that `validate` approved."""
    job = settings.answers.jobs[spec.job]
    digest = require_approved(workspace.answers(spec.job), workspace.validation(spec.job))
    questions = load_set(workspace.questions, job.set)
    answers = _answers_spec(workspace, spec.job)
    return Manifest(
        job=spec.job,
        answerer=job.answerer,
        answerer_key=answers["key"],
        answers_sha256=digest,
        questions=tuple(Question(question.name, question.text) for question in questions),
        sets={name: _members(workspace, name) for name in spec.sets},
        approximates=answers.get("approximates", {}).get("claim"),
        ttl_days=spec.ttl_days,
    )


def _members(workspace: Workspace, set_name: str) -> tuple[str, ...]:
    """Return the names of a set's questions. A set of the bank comes before one of the same name that `select` chose.

    BadInput if there is neither.
    """
    files = sorted(workspace.selected.glob("*.yaml")) if workspace.selected.exists() else []
    selected_sets = {file.name: file.names for file in map(read_set_file, files)}
    try:
        return tuple(member.name for member in load_set(workspace.questions, set_name))
    except BadInput as error:
        members = selected_sets.get(set_name)
        if members is None:
            names = ", ".join(selected_sets) or "none"
            raise BadInput(f"publish.sets: {error}; chosen by `select` are {names}") from error
        return members


def _answers_spec(workspace: Workspace, job: str) -> dict[str, Any]:
    path = workspace.answers(job) / "spec.json"
    spec = read_json(path)
    if not isinstance(spec.get("key"), str):
        raise BadInput(f"{path} has no `key` of the answerer; run `qaemb answers --job {job}` again")
    return spec


def list_versions(workspace: Workspace) -> None:
    """Print every version that was published, the latest last: service, answerer, questions, rows and their times.

    Column `online` is the set's name where the set serves this version now, `yes` where only the version's own service
    does, `no` where it is served offline only.
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
