"""`qaemb answers export|import`: a job's matrix as a folder that travels, and such a folder taken in as published."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers import CascadeAnswerer
from qaemb.answers.export import Export, read_export, write_export
from qaemb.errors import BadInput, StoreError
from qaemb.files import atomic_folder
from qaemb.settings import Settings
from qaemb.stages.answers import Job, job_spec, open_job
from qaemb.workspace import Workspace


def export_job(settings: Settings, workspace: Workspace, job: str, folder: Path) -> None:
    """Write a job's answers with their provenance to a new folder.

    StoreError if the store lacks a cell, BadInput if the folder is there already.
    """
    opened = open_job(settings, workspace, job)
    found = opened.stored.read(opened.wanted)
    block, blocks = _blocks(opened)
    export = Export(
        answerer=opened.settings.answerer,
        key=opened.stored.answerer.key,
        spec=opened.stored.answerer.spec,
        segment_ids=opened.wanted.segment_ids,
        questions=[{"question_id": q.question_id, "name": q.name, "text": q.text} for q in opened.questions],
        margin=found.margin,
        mass=found.mass,
        block=block,
        blocks=blocks,
        exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        about=_about(settings, opened),
    )
    write_export(export, folder)
    rows, columns = found.margin.shape
    print(f"export: {rows:,} segments x {columns} questions of `{export.answerer}` (key {export.key}) in {folder}")


def import_answers(settings: Settings, workspace: Workspace, source: Path, name: str, replace: bool) -> None:
    """Check an export and copy it to data/published/NAME, where an answerer of engine `published` can name it.

    BadInput names what is wrong with it, or that another export of this name is there and `replace` is not given.
    """
    if not name.isidentifier():
        raise BadInput(f"`{name}` can't be the name of published answers; take letters, digits and underscores")
    export = read_export(source)
    target = workspace.published / name
    if target.exists() and not replace:
        there = read_export(target)
        if there.digests == export.digests and there.key == export.key:
            print(f"import: {target} has these answers already")
            return
        raise BadInput(f"{target} holds other answers (key {there.key}); take another name, or add --replace")
    with atomic_folder(target) as temporary:
        for file in ("provenance.json", *export.digests):
            shutil.copyfile(source / file, temporary / file)
    rows, columns = export.margin.shape
    path = target.relative_to(workspace.root)
    print(f"import: {rows:,} segments x {columns} questions of `{export.answerer}`, exported {export.exported_at}")
    print(f"In params.yaml, answers.spec:  {name}: {{engine: published, published: {path}}}")
    print(f"Keep the version:  dvc add {path} && git add {path}.dvc")
    if name in settings.answers.spec:
        print(f"answers.spec.{name} is there already; its key changes with the answers")


def _blocks(job: Job) -> tuple[NDArray[np.int32] | None, list[dict[str, Any]]]:
    """Return for each cell the number of its block, and what is known of the blocks; nothing of a composed answerer."""
    if job.stored.members:
        return None, []
    number, blocks = job.stored.store.sources(job.wanted.segment_ids, job.wanted.question_ids)
    if (number < 0).any():
        raise StoreError(f"a block of {job.stored.store.address} went missing meanwhile; export again")
    made = ((block.name, block.provenance) for block in blocks)
    return number, [{"name": name, **(asdict(provenance) if provenance else {})} for name, provenance in made]


def _about(settings: Settings, job: Job) -> dict[str, Any]:
    """Return what the matrix is: job, segmentation, set, models, and of a cascade what it approximates."""
    measured = job.stored.figures(job.wanted) if isinstance(job.stored.answerer, CascadeAnswerer) else {}
    told = job_spec(job, measured)
    own = {name: value for name, value in told.items() if name not in ("key", "spec", "questions", "answerer")}
    return {"dataset": settings.dataset.name, "qaemb": version("qaemb"), **own}
