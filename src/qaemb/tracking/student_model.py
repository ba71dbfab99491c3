"""What a student that is to be logged in MLflow says about itself, and what comes back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.settings import ModelSettings
from qaemb.tracking.student_pyfunc import named

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class StudentWeights:
    """The model that a student stands on: where it is now, and how to make it again where that folder is not.

    `maker` is "module:function" of a function (name, settings, folder) that makes the model's folder with its
    `qaemb_model.json`, such as "qaemb.answers.models:make_model"; `digest` is what that file must say.
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
