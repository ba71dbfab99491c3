"""The answers room: what answers, with which prompt, and the store in which answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from qaemb.answers.answerer import Answerer, Answers, Cost
from qaemb.answers.cascade import CascadeAnswerer, read_thresholds
from qaemb.answers.ensemble import EnsembleAnswerer
from qaemb.errors import BadInput, BadParameter, require
from qaemb.models.inputs import Progress
from qaemb.settings import (
    AnswererSettings,
    CascadeAnswererSettings,
    EnsembleAnswererSettings,
    PublishedAnswererSettings,
)

__all__ = [
    "Answerer",
    "Answers",
    "CascadeAnswerer",
    "Cost",
    "EnsembleAnswerer",
    "Progress",
    "build_answerer",
    "open_answerer",
]


def open_answerer(
    name: str,
    spec: Mapping[str, AnswererSettings],
    model_folder: Callable[[str], Path],
    root: Path = Path("."),
) -> Answerer:
    """Return the answerer NAME of `answers.spec`, of any kind; `model_folder` says where the model of a name lies.

    `root` is where the paths of a cascade's thresholds and of published answers begin. Nothing heavy is loaded before
    its key is asked for or it answers. BadParameter or BadInput name the answerer, and of an ensemble or a cascade the
    member, that is unknown or wrong, and a cascade's file of thresholds that is missing.
    """
    settings = require(spec, name, "answerer", "params.yaml, section answers.spec")
    parts = {part: open_answerer(part, spec, model_folder, root) for part in settings.parts}
    if isinstance(settings, EnsembleAnswererSettings):
        return EnsembleAnswerer(parts, settings.combine)
    if isinstance(settings, CascadeAnswererSettings):
        thresholds = read_thresholds(root / settings.cascade.thresholds, name)
        names = (settings.cascade.student, settings.cascade.teacher)
        return CascadeAnswerer(parts[names[0]], parts[names[1]], thresholds, names)
    if isinstance(settings, PublishedAnswererSettings):
        return build_answerer(name, settings, root / settings.published)
    return build_answerer(name, settings, model_folder(settings.model) if settings.model else None)


def build_answerer(name: str, settings: AnswererSettings, model_folder: Path | None) -> Answerer:
    """Return the answerer of a single engine that `answers.spec.NAME` describes, on the model in `model_folder`.

    The folder is None only for an engine without a local model; engine `published` reads its answers there. Nothing
    heavy is loaded before its key is asked for or it answers. BadParameter or BadInput name the answerer.
    """
    from qaemb.answers.engines import ENGINES

    try:
        # Settings see to it that an engine which reads the folder has one.
        return ENGINES[settings.engine](settings, cast(Path, model_folder))
    except BadParameter as error:
        raise BadParameter(f"answers.spec.{name}: {error}") from error
    except BadInput as error:
        raise BadInput(f"answers.spec.{name}: {error}") from error
