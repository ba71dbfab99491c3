"""The answers room: what answers, with which prompt, and the store in which answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from qaemb.answers.answerer import Answerer, Answers, Cost
from qaemb.answers.cascade import CascadeAnswerer, read_thresholds
from qaemb.answers.ensemble import EnsembleAnswerer
from qaemb.errors import BadInput, BadParameter
from qaemb.models.inputs import Progress
from qaemb.settings import AnswererSettings

__all__ = [
    "Answerer",
    "Answers",
    "CascadeAnswerer",
    "Cost",
    "EnsembleAnswerer",
    "Progress",
    "answerer_settings",
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
    own = answerer_settings(name, spec)
    if own.engine == "ensemble":
        members = {member: open_answerer(member, spec, model_folder, root) for member in own.members}
        return EnsembleAnswerer(members, own.combine)
    if own.cascade is not None:
        names = (own.cascade.student, own.cascade.teacher)
        student, teacher = (open_answerer(part, spec, model_folder, root) for part in names)
        return CascadeAnswerer(student, teacher, read_thresholds(root / own.cascade.thresholds, name), names)
    if own.published is not None:
        return build_answerer(name, own, root / own.published)
    return build_answerer(name, own, model_folder(own.model) if own.model else None)


def answerer_settings(name: str, spec: Mapping[str, AnswererSettings]) -> AnswererSettings:
    """Return the settings of the answerer NAME; BadParameter lists the known ones where there is none."""
    if name not in spec:
        raise BadParameter(f"no answerer `{name}` in params.yaml, section answers.spec; there are: {', '.join(spec)}")
    return spec[name]


def build_answerer(name: str, spec: AnswererSettings, model_folder: Path | None) -> Answerer:
    """Return the answerer of a single engine that `answers.spec.NAME` describes, on the model in `model_folder`.

    The folder is None only for an engine without a local model; engine `published` reads its answers there. Nothing
    heavy is loaded before its key is asked for or it answers. BadParameter or BadInput name the answerer.
    """
    from qaemb.answers.engines import ENGINES

    try:
        # Settings see to it that an engine which reads the folder has one.
        return ENGINES[spec.engine](spec, cast(Path, model_folder))
    except BadParameter as error:
        raise BadParameter(f"answers.spec.{name}: {error}") from error
    except BadInput as error:
        raise BadInput(f"answers.spec.{name}: {error}") from error
