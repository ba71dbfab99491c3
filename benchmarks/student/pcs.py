"""The stages of the profile `lebel_pcs` in build/student, a folder of its own: where students are trained and tried."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from qaemb.files import write_text
from qaemb.profiles import use_profile
from qaemb.settings import Settings, load_settings
from qaemb.stages.inputs import dataset, model, questions, segments
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "student"


def prepare(changes: Mapping[str, Any] | None = None, resume: bool = False) -> tuple[Settings, Workspace]:
    """Return the profile's settings, with `changes` merged in, and the workspace that goes with them.

    Everything but the vectors of texts (in its store) is made anew, unless a run that was stopped is to `resume`. Ends
    the program where QAEMB_LEBEL_PCS is unset.
    """
    if not os.environ.get("QAEMB_LEBEL_PCS"):
        sys.exit("set QAEMB_LEBEL_PCS to the folder of lebel_pcs (docs/datasets.md says how to get it)")
    for folder in () if resume else ("data/work", "reports", "mlruns", "parts"):
        shutil.rmtree(WORK / folder, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "data" / "questions", WORK / "data" / "questions", dirs_exist_ok=True)
    params = WORK / "params.yaml"
    shutil.copy(ROOT / "params.yaml", params)
    use_profile(params, ROOT / "data" / "profiles", "lebel_pcs")
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    values["questions"]["bank"] = str(ROOT / "data" / "questions")
    _merge(values, changes or {})
    write_text(params, yaml.safe_dump(values, sort_keys=False))
    return load_settings(params), Workspace(WORK)


def make_inputs(settings: Settings, workspace: Workspace, models: tuple[str, ...] = ("minilm",)) -> None:
    """Run the stages that students read: data set, segments, questions, models."""
    dataset(settings, workspace)
    for name in settings.segments:
        segments(settings, workspace, name)
    questions(settings, workspace)
    for name in models:
        model(settings, workspace, name)


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
