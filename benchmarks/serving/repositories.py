"""Feature repositories with made-up margins: qaemb's, and plain Feast's with a feature per question."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.store.contestants import Values, values
from qaemb.files import write_table
from qaemb.identity import text_id
from qaemb.questions import Question
from qaemb.serving import Manifest, build_store, open_store

ROOT = Path(__file__).parents[2]
KEY = "made-up"
ALL, PART = "all", "part"  # question sets: all that are published, and the first N_PART of them
N_PART = 35
VIEW = "plain"
_CREATED = pd.Timestamp("2026-01-01", tz="UTC")


def texts(rows: range) -> list[str]:
    """Return the texts of some rows."""
    return [f"segment number {row}" for row in rows]


def margins(rows: range, n_questions: int) -> Values:
    """Return their margins, float32 (rows, questions), the same whichever part is asked for."""
    return values(rows, range(n_questions))[0]


def manifest(n_questions: int) -> Manifest:
    """Return what qaemb publishes: all questions, as one set, and the first N_PART of them as another."""
    questions = tuple(Question(f"question_{n}", f"Does the text mention thing {n}?") for n in range(n_questions))
    names = tuple(question.name for question in questions)
    return Manifest("made_up", "made_up", KEY, "0", questions, {ALL: names, PART: names[:N_PART]})


def write_config(repo: Path) -> None:
    """Give a repository the project's configuration of Feast."""
    repo.mkdir(parents=True, exist_ok=True)
    for name in ("feature_store.yaml", "definitions.py"):
        shutil.copy(ROOT / "feature_repo" / name, repo)


def publish(repo: Path, n_segments: int, n_questions: int) -> None:
    """Publish made-up answers as the stage `publish` does."""
    write_config(repo)
    rows = range(n_segments)
    answered = np.full(n_segments, np.datetime64(_CREATED.tz_localize(None), "s"))
    build_store(repo, manifest(n_questions), _ids(rows), margins(rows, n_questions), answered)


def write_plain(repo: Path, n_segments: int, n_questions: int) -> None:
    """Write the file and apply the definitions of plain Feast: one view with a Float32 feature per question."""
    write_config(repo)
    (repo / "definitions.py").unlink()
    names = manifest(n_questions).names
    table = pd.DataFrame(margins(range(n_segments), n_questions), columns=names)
    table.insert(0, "segment", _ids(range(n_segments)))
    write_table(repo / "data" / "plain.parquet", table.assign(event_timestamp=_CREATED))
    open_store(repo).apply(_plain_objects(names))


def materialise(repo: Path, view: str) -> None:
    """Load a view's rows into the online store."""
    day = timedelta(days=1)
    open_store(repo).materialize(_CREATED - day, _CREATED + day, feature_views=[view])


def _plain_objects(names: list[str]) -> list[Any]:
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32

    segment = Entity(name="segment", join_keys=["segment"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[segment],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float32) for name in names],
        source=FileSource(path="data/plain.parquet", timestamp_field="event_timestamp"),
    )
    services = {ALL: names, PART: names[:N_PART]}
    return [segment, view, *(FeatureService(name=name, features=[view[own]]) for name, own in services.items())]


def _ids(rows: range) -> list[str]:
    return [text_id(text) for text in texts(rows)]
