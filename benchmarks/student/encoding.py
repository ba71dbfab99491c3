"""Encoding models on real brains: teacher, students and black boxes side by side, with paired intervals."""

from __future__ import annotations

from typing import Any

from qaemb.encoding.results import read_jackknife
from qaemb.files import read_json
from qaemb.report.jobs import paired
from qaemb.settings import Settings
from qaemb.stages.encode import encode
from qaemb.stages.features import features
from qaemb.workspace import Workspace

SUBJECTS = ("uts03", "uts01")
MODELS = {
    "word_rate": ["word_rate"],
    "minilm": ["embedding"],
    "mpnet": ["mpnet"],
    "minilm+mpnet": ["embedding", "mpnet"],
    "gpt4": ["gpt4"],
    "student_minilm": ["student_minilm"],
    "student_mpnet": ["student_mpnet"],
    "student": ["student_both"],
    "student+mpnet": ["student_both", "mpnet"],
    "student+mpnet_plain": ["student_both", "mpnet"],
}
BANDED = ["student+mpnet"]  # a penalty for each space: they differ in size tenfold
_BASELINES = ("mpnet", "minilm+mpnet", "gpt4")


def spaces() -> dict[str, Any]:
    """Return the spaces that the profile lacks."""
    published = {"kind": "published", "input": "data/work/dataset"}
    students = {f"student_{name}": published | {"published": f"student_{name}"} for name in ("minilm", "mpnet", "both")}
    mpnet = {"kind": "embedding", "model": "mpnet", "segmentation": "tr", "input": "data/work/models/mpnet"}
    return students | {"mpnet": mpnet}


def fit_all(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Return each model's r with its interval by subject, and the paired differences from the baselines."""
    for space in sorted({part for parts in MODELS.values() for part in parts}):
        features(settings, workspace, space)
    for name in MODELS:
        encode(settings, workspace, name)
    scores = {name: read_json(workspace.metrics("encode", name)) for name in MODELS}
    means = {
        name: {subject: read_jackknife(workspace.encoding(name), subject) for subject in SUBJECTS} for name in MODELS
    }
    return {"scores": scores, "differences": paired(means, _BASELINES).to_dict("records")}
