"""The state of a training, in one file that is replaced as a whole, so that a killed training goes on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaemb.distill.cells import TeacherCells
from qaemb.files import atomic_file
from qaemb.identity import json_id

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Course:
    """Where a training stands: what was done, how long it took (s), and what was measured.

    CPU seconds are those of all threads; on a shared machine they say more about the work than seconds do.
    `curve`: one entry for each evaluation. `best_auc` and `best_step` belong to the parameters `best`; `stale` counts
    the evaluations since then. `loss_sum` is over the `loss_steps` steps since the last evaluation.
    """

    step: int = 0
    cells: int = 0
    tokens: int = 0
    texts: int = 0
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    training_cpu_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_auc: float = -1.0
    best_step: int = 0
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds spent, in all runs together."""
        return self.training_seconds + self.evaluation_seconds


@dataclass(frozen=True)
class Checkpoint:
    """Course, parameters that are trained, by name, and the optimizer's state."""

    course: Course
    learnt: dict[str, Tensor]
    optimizer: dict[str, Any]


def identity(about: dict[str, Any], data: TeacherCells) -> str:
    """Return the hash of all that a training depends on: what it is about (JSON-able), and its cells."""
    digest = hashlib.sha256()
    for values in (data.texts, data.questions, data.groups):
        digest.update(json_id(values).encode())
    digest.update(data.labels.tobytes() + data.known.tobytes())
    return json_id({**about, "cells": digest.hexdigest()})


def save_checkpoint(path: Path, key: str, state: Checkpoint) -> None:
    """Write the state atomically; `key` names the training that it belongs to."""
    import torch

    course = {item.name: getattr(state.course, item.name) for item in fields(Course)}
    with atomic_file(path) as temporary:
        torch.save({"key": key, "course": course, "learnt": state.learnt, "optimizer": state.optimizer}, temporary)


def load_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """Return the state of the training `key`; None where there is none, or only that of another training.

    A damaged checkpoint counts as none: a checkpoint may be lost, never wrong.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["key"] != key:
            return None
        return Checkpoint(Course(**state["course"]), state["learnt"], state["optimizer"])
    except Exception:  # torch raises errors of many kinds for a damaged file
        return None
