from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.settings import ModelSettings
from qaemb.tracking import StudentModel, StudentWeights, Tracker

STAND_IN = '''
import hashlib, json, os
import numpy as np
from qaemb.errors import BadInput

class Student:
    """Margins from hashes, stretched by a number in its own files and one in its model's."""
    def __init__(self, student, model, options):
        self.questions = json.loads((student / "questions.json").read_text())
        self.scale = np.load(student / "scale.npy")
        if model:
            self.scale = self.scale * json.loads((model / "qaemb_model.json").read_text()).get("scale", 1)
        self.options = options

    def predict(self, texts, questions):
        names = list(questions) if questions else self.questions
        digests = [[hashlib.sha256((t + n).encode()).digest()[0] for n in names] for t in texts]
        margins = (np.array(digests).reshape(len(texts), len(names)) - 127.5) / 3 * self.scale
        return names, margins.astype(self.options.get("dtype", "float32"))

def open_student(student, model, options):
    if options.get("broken"):
        raise RuntimeError("the student's files are broken")
    return Student(student, model, options)

def make(name, settings, folder):
    """Copies the model that lies in the folder of the settings, as the real maker does."""
    if not (settings.path / "qaemb_model.json").exists():
        raise BadInput(f"model.{name}.path: {settings.path} is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "qaemb_model.json").write_text((settings.path / "qaemb_model.json").read_text())
'''
QUESTIONS = ("food", "motion in the text?")


@pytest.fixture(scope="session")
def new_tracker(tmp_path_factory) -> Callable[[Path], Tracker]:
    """Return a maker of trackers with empty databases: MLflow needs seconds to make its tables, once is enough."""
    template = Tracker(tmp_path_factory.mktemp("mlflow") / "mlruns")
    template._client().search_experiments()

    def make(mlruns: Path) -> Tracker:
        shutil.copytree(template.mlruns, mlruns)
        return Tracker(mlruns)

    return make


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    """The module `stand_in` on the path, here and in processes that are started; the cache in a folder of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "stand_in.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "stand_in", raising=False)
    return folder


@pytest.fixture
def student(stand_in, tmp_path) -> StudentModel:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "questions.json").write_text(json.dumps(QUESTIONS))
    np.save(folder / "scale.npy", np.float64(1 / 7))
    figures, tags = {"auc.seen": 0.84, "auc.unseen": float("nan")}, {"git.commit": "abc", "dvc.data/x+y": "md5"}
    return StudentModel(
        *("heads", folder, "stand_in:open_student", "key-1", "teacher-1", 0.7, QUESTIONS), figures=figures, tags=tags
    )


@pytest.fixture
def weights(stand_in, tmp_path) -> StudentWeights:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "qaemb_model.json").write_text(json.dumps({"digest": "d1", "scale": 3.0}))
    settings = ModelSettings(source="folder", path=folder, kind="encoder")
    return StudentWeights("minilm", folder, "d1", settings, "stand_in:make")


@pytest.fixture
def expected() -> Callable[..., pd.DataFrame]:
    """Return what a student answers when it is opened without MLflow."""

    def answers(student: StudentModel, texts: pd.DataFrame, questions: list[str] | None = None) -> pd.DataFrame:
        from stand_in import open_student

        model = student.weights.folder if student.weights else None
        opened = open_student(student.folder, model, student.options)
        names, margins = opened.predict(texts["text"].tolist(), questions)
        return pd.DataFrame(margins, columns=names)

    return answers
