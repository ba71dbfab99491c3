"""Students as MLflow models: saved with a signature, tried, and registered as versions with tags and aliases.

`StudentModel` is what a student says about itself when it is logged, `ModelVersionRef` what comes back.

**Signature.** Input: the column `text`. Parameter: `questions`, a list of strings; empty (the default) asks all that
the student knows. Outputs: a float column of margins per question that it knows, each marked as optional, because a
call that lists questions gets those columns alone, and a student that scores any question gets others. MLflow would
also take one array-valued column for a varying number of questions, but which number belongs to which question would
then have to be repeated in every row. MLflow checks inputs and parameters against the signature, never outputs.

**Requirements** are given, so that MLflow does not import everything to find them. qaemb is not on PyPI: install it
from the project before loading a model (`--env-manager local` for MLflow's commands).

**`latest`** needs no alias of its own: MLflow reserves the name, and `models:/NAME/latest` is the newest version.
"""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qaemb.errors import BadInput, QaembError
from qaemb.files import plain_os_errors, write_json
from qaemb.settings import ModelSettings
from qaemb.tracking.record import clean_metrics, clean_tags, log_saved_model
from qaemb.tracking.student_pyfunc import MODEL, MODEL_FOLDER, RECORD, STUDENT, named

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model, ModelSignature
    from mlflow.tracking import MlflowClient

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class StudentWeights:
    """The model that a student stands on: where it is now, and how to make it again where that folder is not.

    `maker` is "module:function" of a function (name, settings, folder) that makes the model's folder with its
    `qaemb_model.json`, such as "qaemb.models.folder:make_model"; `digest` is what that file must say.
    """

    name: str
    folder: Path
    digest: str
    settings: ModelSettings
    maker: str


@dataclass(frozen=True)
class StudentModel:
    """One trained student, as it is logged; it is registered as `student-NAME`.

    `opener` is "module:function" of a function (student_folder, model_folder or None, options) whose result has
    `predict(texts, questions or None) -> (names, float32 margins)`, names as they were asked. `questions` are the names
    for None; empty for a student that must be told what to ask. `held_out` decides who is champion: larger is better.
    """

    name: str
    folder: Path
    opener: str
    key: str
    teacher: str
    held_out: float
    questions: tuple[str, ...] = ()
    weights: StudentWeights | None = None
    include_model: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def registered_name(self) -> str:
        """The name under which MLflow knows all versions of it."""
        return f"student-{self.name}"

    def check(self) -> None:
        """Refuse, with BadInput, a name that MLflow can't take, no figure, and a missing folder or function."""
        where = f"student `{self.name}`"
        if not _NAME.fullmatch(self.name):
            raise BadInput(f"{where}: a name has letters, digits and `_-.` alone; rename it")
        if not math.isfinite(self.held_out):
            raise BadInput(f"{where}: the held-out figure is {self.held_out}; a champion needs a finite one")
        for folder in [self.folder, *([self.weights.folder] if self.weights else [])]:
            if not folder.is_dir():
                raise BadInput(f"{where}: {folder} is not a folder; run the stages that make it")
        for path in [self.opener, *([self.weights.maker] if self.weights else [])]:
            named(path)


@dataclass(frozen=True)
class ModelVersionRef:
    """A registered version: `uri` loads it (`mlflow.pyfunc.load_model`); `champion`: it carries that alias now."""

    name: str
    version: int
    model_id: str
    champion: bool

    @property
    def uri(self) -> str:
        """The version as MLflow names it.

        >>> ModelVersionRef("student-heads", 3, "m-1", True).uri
        'models:/student-heads/3'
        """
        return f"models:/{self.name}/{self.version}"


CHAMPION = "champion"
_HELD_OUT = "qaemb.held_out"
_LOADER = "qaemb.tracking.student_pyfunc"
_EXAMPLE = pd.DataFrame({"text": ["We ate soup in the kitchen.", "Nobody said a word."]})
_ANY_QUESTION = "Does the text mention food?"  # for the example of a student without questions of its own
_IN_EXAMPLE = 2  # questions


def log_model(client: MlflowClient, run_id: str, student: StudentModel) -> ModelVersionRef:
    """Log a student under a run, register it as a version of `student-NAME`, and return that version.

    It becomes `champion` where its held-out figure is at least the present champion's. Before anything is written to
    the database it was saved, loaded from what was saved, and asked. On a failure later nothing is left but a gap in
    the numbers of the versions. BadInput names what is wrong with the record.
    """
    student.check()
    with tempfile.TemporaryDirectory() as folder, plain_os_errors(Path(folder)):
        saved = Path(folder) / "saved"
        saving = _save(student, Path(folder) / "data", saved)
        _try(student, saved)
        with ExitStack() as undo:
            logged = log_saved_model(client, run_id, saving, saved, "student", undo)
            reference = _register(client, student, logged, undo)
            undo.pop_all()
    return reference


def _save(student: StudentModel, data: Path, target: Path) -> Model:
    """Write an MLflow model without an id to `target`, and return what its file MLmodel says."""
    import mlflow.pyfunc
    from mlflow.models import Model

    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    shutil.copytree(student.folder, data / STUDENT)
    if student.weights and student.include_model:
        shutil.copytree(student.weights.folder, data / MODEL)
    weights = _weights_record(student.weights)
    record = {"opener": student.opener, "options": dict(student.options), "weights": weights}
    write_json(data / RECORD, record)
    saving = Model(artifact_path=student.registered_name, metadata={"key": student.key, **record})
    mlflow.pyfunc.save_model(
        str(target),
        loader_module=_LOADER,
        data_path=str(data),
        mlflow_model=saving,
        signature=_signature(student),
        input_example=(_EXAMPLE, {"questions": _example_questions(student)}),
        pip_requirements=[f"{package}=={version(package)}" for package in ("qaemb", "mlflow")],
        model_config={MODEL_FOLDER: ""},  # MLflow lets a user override only what is there
    )
    return saving


def _weights_record(weights: StudentWeights | None) -> dict[str, Any] | None:
    if weights is None:
        return None
    settings = weights.settings.model_dump(mode="json")
    return {"name": weights.name, "digest": weights.digest, "maker": weights.maker, "settings": settings}


def _signature(student: StudentModel) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    outputs = [ColSpec(DataType.float, name, required=False) for name in student.questions]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema([*outputs]) if outputs else None,
        params=ParamSchema([ParamSpec("questions", DataType.string, [], shape=(-1,))]),
    )


def _example_questions(student: StudentModel) -> list[str]:
    return list(student.questions[:_IN_EXAMPLE]) or [_ANY_QUESTION]


def _try(student: StudentModel, saved: Path) -> None:
    """Load a saved model and ask it; QaembError where it can't answer what its signature promises."""
    import mlflow.pyfunc

    config = {MODEL_FOLDER: str(student.weights.folder)} if student.weights else {}
    loaded = mlflow.pyfunc.load_model(str(saved), suppress_warnings=True, model_config=config)
    some, everything = _example_questions(student), list(student.questions)
    for params, expected in [({"questions": some}, some), *([({}, everything)] if everything else [])]:
        answers = loaded.predict(_EXAMPLE, params=params)
        if list(answers.columns) != expected or not np.isfinite(answers.to_numpy()).all():
            raise QaembError(
                f"student `{student.name}` answered {list(answers.columns)} where {expected} were asked, or not with "
                f"finite margins; correct `{student.opener}` or the record's `questions`"
            )


def _register(client: MlflowClient, student: StudentModel, logged: LoggedModel, undo: ExitStack) -> ModelVersionRef:
    """Make a version of a logged model, with tags and, if it is earned, the alias; `undo` gets what takes it back."""
    from mlflow.entities import LoggedModelOutput

    name, run_id = student.registered_name, str(logged.source_run_id)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        undo.callback(client.delete_registered_model, name)
    # The place of the files, not `models:/ID`: MLflow looks an id up in its global store, not in the client's.
    made = client.create_model_version(
        name, logged.artifact_location, run_id, _version_tags(student), model_id=logged.model_id
    )
    undo.callback(client.delete_model_version, name, made.version)
    link = json.dumps([{"name": name, "version": made.version}])
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})  # MLflow's UI leads on from it
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    champion = student.held_out >= _champions_figure(client, name)
    if champion:  # last, so that a failure leaves the alias where it was
        client.set_registered_model_alias(name, CHAMPION, made.version)
    return ModelVersionRef(name, int(made.version), logged.model_id, champion)


def _version_tags(student: StudentModel) -> dict[str, str]:
    figures = {f"qaemb.figure.{name}": repr(value) for name, value in clean_metrics(student.figures).items()}
    marks = {"qaemb.key": student.key, "qaemb.teacher": student.teacher, _HELD_OUT: repr(float(student.held_out))}
    return clean_tags({**student.tags, **figures, **marks})


def _champions_figure(client: MlflowClient, name: str) -> float:
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    if number is None:
        return -math.inf
    return float(client.get_model_version(name, number).tags.get(_HELD_OUT, -math.inf))
