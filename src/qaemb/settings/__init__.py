"""params.yaml as frozen, checked models: a section per stage. An unknown key is refused; every error names its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from qaemb.errors import BadParameter
from qaemb.settings.answers import (
    AnswererSettings,
    AnswersJob,
    AnswersSettings,
    AnyModel,
    CascadeAnswererSettings,
    CascadeSettings,
    CausalAnswererSettings,
    EnsembleAnswererSettings,
    FolderModelSettings,
    HubModelSettings,
    ModelSettings,
    PublishedAnswererSettings,
    RaySettings,
    ServerAnswererSettings,
    ServerSettings,
    StudentAnswererSettings,
    VllmSettings,
    WheelModelSettings,
)
from qaemb.settings.base import Section, key_of
from qaemb.settings.data import (
    DatasetSettings,
    MiniatureSettings,
    QuestionsSettings,
    SegmentationSettings,
)
from qaemb.settings.distill import (
    DistillSettings,
    FinetuneSettings,
    HeadsStudent,
    LmSettings,
    LmStudent,
    StudentSettings,
)
from qaemb.settings.features import FeaturesSettings, SpaceSettings
from qaemb.settings.modelling import EncodeSettings, InterpretSettings, SelectSettings
from qaemb.settings.tasks import (
    ClassificationTask,
    ClusteringTask,
    DownstreamSettings,
    PublishSettings,
    ReportSettings,
    RetrievalTask,
    SimilarityTask,
    TaskSettings,
)
from qaemb.settings.validation import DriftSettings, ValidateSettings

__all__ = [
    "AnswererSettings",
    "AnswersJob",
    "AnswersSettings",
    "CascadeAnswererSettings",
    "CascadeSettings",
    "CausalAnswererSettings",
    "ClassificationTask",
    "ClusteringTask",
    "DatasetSettings",
    "DistillSettings",
    "DownstreamSettings",
    "DriftSettings",
    "EncodeSettings",
    "EnsembleAnswererSettings",
    "FeaturesSettings",
    "FinetuneSettings",
    "FolderModelSettings",
    "HeadsStudent",
    "HubModelSettings",
    "InterpretSettings",
    "LmSettings",
    "LmStudent",
    "MiniatureSettings",
    "ModelSettings",
    "PublishSettings",
    "PublishedAnswererSettings",
    "QuestionsSettings",
    "RaySettings",
    "ReportSettings",
    "RetrievalTask",
    "SegmentationSettings",
    "SelectSettings",
    "ServerAnswererSettings",
    "ServerSettings",
    "Settings",
    "SimilarityTask",
    "SpaceSettings",
    "StudentAnswererSettings",
    "StudentSettings",
    "TaskSettings",
    "ValidateSettings",
    "VllmSettings",
    "WheelModelSettings",
    "describe_errors",
    "load_settings",
]


class Settings(Section):
    """The whole of params.yaml."""

    miniature: MiniatureSettings = MiniatureSettings()
    dataset: DatasetSettings
    segments: dict[str, SegmentationSettings]
    questions: QuestionsSettings = QuestionsSettings()
    model: dict[str, AnyModel]
    answers: AnswersSettings
    validate_: ValidateSettings = Field(ValidateSettings(), alias="validate")
    features: FeaturesSettings
    encode: EncodeSettings
    interpret: InterpretSettings = InterpretSettings()
    select: SelectSettings
    distill: DistillSettings = DistillSettings()
    publish: PublishSettings
    downstream: DownstreamSettings = DownstreamSettings()
    report: ReportSettings

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for name, spec in self.answers.spec.items():
            if spec.model:
                _require(spec.model, self.model, f"answers.spec.{name}.model", "model")
        for name, job in self.answers.jobs.items():
            _require(job.segmentation, self.segments, f"answers.jobs.{name}.segmentation", "segments")
        for name, space in self.features.spaces.items():
            if space.job:
                _require(space.job, self.answers.jobs, f"features.spaces.{name}.job", "answers.jobs")
            for part in space.jobs or []:
                _require(part, self.answers.jobs, f"features.spaces.{name}.jobs", "answers.jobs")
            if space.model:
                _require(space.model, self.model, f"features.spaces.{name}.model", "model")
        for name, parts in self.encode.spaces.items():
            for part in parts:
                _require(part, self.features.spaces, f"encode.spaces.{name}", "features.spaces")
        for part in self.select.spaces:
            _require(part, self.features.spaces, "select.spaces", "features.spaces")
        _require(self.publish.job, self.answers.jobs, "publish.job", "answers.jobs")
        for name in self.validate_.unknown_drift(self.answers.jobs):
            raise ValueError(f"validate.drift.{name}: `{name}` is no job of answers.jobs and no question set of one")
        return self

    @model_validator(mode="after")
    def _tasks_can_be_answered(self) -> Settings:
        for name, task in self.downstream.tasks.items():
            _require(task.answerer, self.answers.spec, f"downstream.tasks.{name}.answerer", "answers.spec")
            _require(task.encoder, self.model, f"downstream.tasks.{name}.encoder", "model")
        return self

    @model_validator(mode="after")
    def _students_have_teachers(self) -> Settings:
        for name, student in self.distill.students.items():
            _require(student.model, self.model, f"distill.students.{name}.model", "model")
            if student.job:
                _require(student.job, self.answers.jobs, f"distill.students.{name}.job", "answers.jobs")
            for part in student.segmentations:
                _require(part, self.segments, f"distill.students.{name}.segmentations", "segments")
        return self


def _require(name: str, entries: dict[str, Any], where: str, section: str) -> None:
    if name not in entries:
        raise ValueError(f"{where}: `{name}` is not in {section} ({', '.join(entries) or 'empty'})")


def load_settings(path: Path = Path("params.yaml")) -> Settings:
    """Return the checked settings of a params.yaml; BadParameter names the file, the key and what is wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadParameter(f"{path} does not exist; run qaemb from the project's root") from error
    except yaml.YAMLError as error:
        raise BadParameter(f"{path} is not valid YAML: {error}") from error
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise BadParameter(describe_errors(path, error, values)) from error


def describe_errors(path: Path, error: ValidationError, values: Any, section: str = "") -> str:
    """Return a line for each wrong key of `values`: the file, the key (after `section`: `dataset.bids.`), the fault."""
    lines = []
    for item in error.errors():
        key = (section + key_of(item["loc"], values)).removesuffix(".")
        tag_key = item.get("ctx", {}).get("discriminator", "").strip("'")
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown parameter `{key}`; remove it or correct its name")
        elif item["type"] == "union_tag_invalid":
            tag, kinds = item["ctx"]["tag"], item["ctx"]["expected_tags"]
            lines.append(f"{path}: {key}.{tag_key}: `{tag}` is none of {kinds}")
        elif item["type"] == "union_tag_not_found":
            lines.append(f"{path}: {key}.{tag_key}: Field required")
        else:
            lines.append(f"{path}: {key + ': ' if key else ''}{item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
