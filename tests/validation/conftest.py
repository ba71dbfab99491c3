"""A small project folder with one answers job on sentences, in the contract's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.identity import text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import Settings
from qaemb.workspace import Workspace

NAMES = ["food", "motion", "place"]
TEXTS = [f"Sentence number {number}." for number in range(8)]


@pytest.fixture(scope="session")
def settings_of():
    """Return a function that makes settings with one job `j` on the segmentation `cut`."""
    return _settings_of


@pytest.fixture
def matrices() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A sound margin and mass matrix."""
    return _matrices()


@pytest.fixture(scope="session")
def write_matrices():
    """Return a function that writes margin and mass into a workspace as the answers of job `j`."""
    return _write_matrices


def _settings_of(kind: str = "sentence", **validate) -> Settings:
    return Settings.model_validate(
        {
            "dataset": {"name": "t", "adapter": "ds003020", "path": "x", "subjects": ["A"], "test_stories": ["b"]},
            "segments": {"cut": {"kind": kind}},
            "model": {"m": {"source": "folder", "path": "m", "kind": "encoder"}},
            "answers": {
                "spec": {"a": {"engine": "student", "model": "m"}},
                "jobs": {"j": {"answerer": "a", "segmentation": "cut", "set": "core"}},
            },
            "validate": validate,
            "features": {"spaces": {}},
            "encode": {"spaces": {}},
            "select": {"spaces": []},
            "publish": {"job": "j", "sets": ["core"]},
            "report": {"map_space": "gold"},
        }
    )


def _matrices() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(5)
    ids = [text_id(text) for text in TEXTS]
    margin = pd.DataFrame(rng.normal(size=(len(ids), 3)).astype(np.float32), columns=NAMES)
    mass = pd.DataFrame(rng.uniform(0.5, 1, size=(len(ids), 3)).astype(np.float32), columns=NAMES)
    for table in (margin, mass):
        table.insert(0, "segment_id", ids)
    return margin, mass


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path)
    ids = [text_id(text) for text in TEXTS]
    for folder in (place.segments("cut"), place.questions, place.dataset, place.answers("j")):
        folder.mkdir(parents=True)
    pd.DataFrame({"segment_id": ids, "text": TEXTS}).to_parquet(place.segments("cut") / "segments.parquet")
    occurrences = pd.DataFrame({"story": "s", "index": np.arange(8, dtype=np.int32), "time_s": 1.0, "segment_id": ids})
    occurrences.to_parquet(place.segments("cut") / "occurrences.parquet")
    asked = {"food": "p_food", "motion": "p_motion", "place": None}
    questions = [Question(name, f"Does the text mention {name}?", property_id=asked[name]) for name in NAMES]
    write_tables(place.questions, questions, [QuestionSet("core", tuple(questions))], [])
    _write_matrices(place, *_matrices())
    return place


def _write_matrices(place: Workspace, margin: pd.DataFrame, mass: pd.DataFrame) -> None:
    margin.to_parquet(place.answers("j") / "margin.parquet", index=False)
    mass.to_parquet(place.answers("j") / "mass.parquet", index=False)
