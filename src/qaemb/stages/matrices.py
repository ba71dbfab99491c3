"""A job's answer matrix, and what it should hold, as the stages that check it read it."""

from __future__ import annotations

from qaemb.errors import BadMatrix, BadParameter
from qaemb.files import read_table
from qaemb.questions import load_set
from qaemb.settings import AnswersJob, Settings
from qaemb.validation import Matrix
from qaemb.workspace import Workspace


def find_job(settings: Settings, job: str) -> AnswersJob:
    """Return the job of this name; BadParameter lists those that there are."""
    if job not in settings.answers.jobs:
        known = ", ".join(settings.answers.jobs)
        raise BadParameter(f"no answers job `{job}` in params.yaml: answers.jobs ({known})")
    return settings.answers.jobs[job]


def read_matrix(settings: Settings, workspace: Workspace, job: str) -> Matrix:
    """Return a job's margins and mass as they are, with the segments and questions that they should have."""
    spec = find_job(settings, job)
    folder = workspace.answers(job)
    tables = {name: read_table(folder / f"{name}.parquet") for name in ("margin", "mass")}
    for name, table in tables.items():
        if "segment_id" not in table:
            raise BadMatrix(
                f"{folder / name}.parquet has no column `segment_id`; run `qaemb answers --job {job}` again"
            )
    segments = read_table(workspace.segments(spec.segmentation) / "segments.parquet", ["segment_id"])
    questions = load_set(workspace.questions, spec.set)
    return Matrix(tables["margin"], tables["mass"], list(segments["segment_id"]), [item.name for item in questions])
