"""A project folder with a small validated matrix, published once for all tests of the room."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.answers import Answers
from qaemb.answers.engines import ENGINES
from qaemb.identity import file_sha256, text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import Settings
from qaemb.stages.publish import publish
from qaemb.workspace import Workspace

REPO = Path(__file__).parents[2] / "feature_repo"
QUESTIONS = [Question(f"q{n:02}", f"Does the text mention thing {n}?", property_id=f"p{n}") for n in range(12)]
SETS = {"full": range(12), "core": (7, 2, 5, 11)}
STORIES = ("alpha", "beta", "gamma")
N_SENTENCES = 30


def margins_of(texts: Sequence[str], questions: Sequence[str]) -> np.ndarray:
    """Margins that depend on text and question alone: a generator seeded by the hash of both."""
    cells = [[int(text_id(f"{question}|{text}")[:8], 16) for question in questions] for text in texts]
    return np.array([[np.random.default_rng(cell).normal() for cell in row] for row in cells], dtype=np.float32)


@dataclass
class HashAnswerer:
    """A plain answerer that keeps the contract and remembers what it was asked."""

    key: str = "the-key"
    asked: list[str] = field(default_factory=list)

    def answer(self, texts, questions, progress=None) -> Answers:
        self.asked += list(texts)
        margin = margins_of(texts, questions)
        return Answers(margin, np.full_like(margin, 0.9))


@dataclass(frozen=True)
class Published:
    """A project in which `publish` ran: the texts and margins that were published."""

    workspace: Workspace
    settings: Settings
    texts: list[str]
    names: list[str]
    margins: np.ndarray

    @property
    def repo(self) -> Path:
        return self.workspace.feature_repo

    @property
    def segments(self) -> list[str]:
        return [text_id(text) for text in self.texts]


@pytest.fixture(scope="session")
def make_settings():
    """Return a function that makes settings publishing job `j`."""

    def make(**publish_section) -> Settings:
        return Settings.model_validate(
            {
                "dataset": {"name": "t", "adapter": "ds003020", "path": "x", "subjects": ["A"], "test_stories": ["b"]},
                "segments": {"cut": {"kind": "sentence"}},
                "model": {"m": {"source": "folder", "path": "m", "kind": "encoder"}},
                "answers": {
                    "spec": {"hash": {"engine": "student", "model": "m"}},
                    "jobs": {"j": {"answerer": "hash", "segmentation": "cut", "set": "full"}},
                },
                "features": {"spaces": {}},
                "encode": {"spaces": {}},
                "select": {"spaces": []},
                "publish": {"job": "j", "sets": ["core", "full"], **publish_section},
                "report": {"map_space": "gold"},
            }
        )

    return make


@pytest.fixture(scope="session")
def make_project():
    """Return a function that writes a project folder with one validated answers job, its stories and its gold."""
    return _make_project


@pytest.fixture(scope="session")
def published(tmp_path_factory, make_settings) -> Published:
    workspace, texts, margins = _make_project(tmp_path_factory.mktemp("project"))
    settings = make_settings()
    publish(settings, workspace)
    return Published(workspace, settings, texts, [question.name for question in QUESTIONS], margins)


@pytest.fixture
def answerer() -> HashAnswerer:
    return HashAnswerer()


@pytest.fixture
def hash_engine(monkeypatch, answerer) -> HashAnswerer:
    """The published answerer, registered as the engine that the settings name."""
    monkeypatch.setitem(ENGINES, "student", lambda settings, folder: answerer)
    return answerer


def _make_project(root: Path) -> tuple[Workspace, list[str], np.ndarray]:
    workspace = Workspace(root)
    texts = [f"Sentence {n} of {story}." for story in STORIES for n in range(N_SENTENCES)]
    segments = [text_id(text) for text in texts]
    margins = margins_of(texts, [question.text for question in QUESTIONS])
    sets = [QuestionSet(name, tuple(QUESTIONS[n] for n in members)) for name, members in SETS.items()]
    write_tables(workspace.questions, QUESTIONS, sets, [])
    folders = (workspace.answers("j"), workspace.validation("j"), workspace.dataset, workspace.segments("cut"))
    for folder in folders:
        folder.mkdir(parents=True)
    table = pd.DataFrame(margins, columns=[question.name for question in QUESTIONS])
    table.insert(0, "segment_id", segments)
    table.to_parquet(workspace.answers("j") / "margin.parquet", index=False)
    (workspace.answers("j") / "spec.json").write_text(json.dumps({"key": HashAnswerer().key}))
    approve(workspace)
    _write_stories(workspace, segments, margins)
    shutil.copytree(REPO, workspace.feature_repo, ignore=shutil.ignore_patterns("data", "history", "__pycache__"))
    return workspace, texts, margins


def approve(workspace: Workspace) -> None:
    """Write the verdict that `validate` would write for the matrix that lies there."""
    digest = file_sha256(workspace.answers("j") / "margin.parquet")
    verdict = {"job": "j", "success": True, "answers_sha256": digest}
    (workspace.validation("j") / "validation.json").write_text(json.dumps(verdict))


def _write_stories(workspace: Workspace, segments: list[str], margins: np.ndarray) -> None:
    stories = [story for story in STORIES for _ in range(N_SENTENCES)]
    index = np.tile(np.arange(N_SENTENCES, dtype=np.int32), len(STORIES))
    where = pd.DataFrame({"story": stories, "index": index})
    where.assign(time_s=0.0, segment_id=segments).to_parquet(workspace.segments("cut") / "occurrences.parquet")
    # Property 2 can be read from the answers to other questions of `core`; the other property never occurs.
    where.assign(p2=margins[:, 7] + margins[:, 5] > 0, p5=False).to_parquet(workspace.dataset / "gold.parquet")
    split = pd.DataFrame({"story": STORIES, "split": ["train", "train", "test"]})
    split.to_parquet(workspace.dataset / "stories.parquet")
