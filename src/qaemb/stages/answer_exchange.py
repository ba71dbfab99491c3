"""`qaemb answers export|import`: a job's matrix as a folder that travels, and such a folder taken in as published.

`qaemb answers show`: every answer that the store has about a segment, and how each was made.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers import CascadeAnswerer, open_answerer
from qaemb.answers.blocks import Provenance
from qaemb.answers.export import Export, read_export, write_export
from qaemb.answers.store import Store, store_keys
from qaemb.errors import BadInput, QaembError, StoreError
from qaemb.files import atomic_folder, read_table
from qaemb.identity import text_id
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


@dataclass(frozen=True)
class _Answer:
    """One cell and the block that it is from."""

    question_id: str
    margin: float
    mass: float
    block: str
    provenance: Provenance | None


def show(settings: Settings, workspace: Workspace, segment: str, question: str | None) -> None:
    """Print all answers about a segment (its id, the beginning of it, or its text), per answerer.

    `question`: a name or id; only answers to it. BadInput if no segment, or more than one, is meant.
    """
    segment_id, text = _segment(settings, workspace, segment)
    names = _question_names(workspace)
    wanted = None if question is None else _question(names, question)
    print(f"segment {segment_id}: {text!r}")
    answerers = _answerer_names(settings, workspace)
    address, n_found = workspace.store(settings.answers.store), 0
    for key in tqdm(store_keys(address), desc="show", unit="answerer", leave=False):
        store = Store(address, key)
        found = [one for one in _answers(store, segment_id) if wanted in (None, one.question_id)]
        if found:
            print(f"\n{answerers.get(key, 'an answerer that is not in params.yaml')}, key {key}: {_spec(store.spec())}")
            print(_lines(found, names))
        n_found += len(found)
    if not n_found:
        print(f"no answer in {address}")


def _answers(store: Store, segment_id: str) -> Iterator[_Answer]:
    seen: set[str] = set()
    for block in store.blocks():
        segments = block.segment_ids
        if segment_id not in segments:
            continue
        row = segments.index(segment_id)
        new = [name for name in block.question_ids if name not in seen]  # of blocks that overlap the first counts
        seen.update(new)
        own = block.answers(new)
        for column, name in enumerate(new):
            margin, mass = float(own.margin[row, column]), float(own.mass[row, column])
            yield _Answer(name, margin, mass, block.name, block.provenance)


def _lines(answers: list[_Answer], names: Mapping[str, tuple[str, str]]) -> str:
    rows = []
    for one in answers:
        made = one.provenance
        packages = ", ".join(f"{name} {version}" for name, version in (made.packages if made else {}).items())
        rows.append(
            {
                "question": names.get(one.question_id, (one.question_id, ""))[0],
                "answer": "yes" if one.margin > 0 else "no",
                "P(yes)": f"{1 / (1 + math.exp(-min(max(one.margin, -500.0), 500.0))):.4f}",
                "margin": f"{one.margin:.4f}",
                "mass": f"{one.mass:.4f}",
                "answered": made.answered_at if made else "unknown",
                "engine": made.engine if made else "unknown",
                "with": (made.source if made and made.source else packages) or "-",
                "block": one.block.split("-")[2][:12],
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def _spec(spec: Mapping[str, Any] | None) -> str:
    """Return what is in a key in a line: model digest, prompt, dtype."""
    if spec is None:
        return "spec.json is missing"
    prompt = spec.get("prompt")
    told = dict(spec) | ({"prompt": prompt.get("name", "?")} if isinstance(prompt, dict) else {})
    return ", ".join(f"{name} {value}" for name, value in told.items() if isinstance(value, str | int | float))


def _segment(settings: Settings, workspace: Workspace, wanted: str) -> tuple[str, str]:
    texts: dict[str, str] = {}
    for name in settings.segments:
        if (workspace.segments(name) / "segments.parquet").exists():
            table = read_table(workspace.segments(name) / "segments.parquet", ["segment_id", "text"])
            texts.update(zip(table["segment_id"], table["text"], strict=True))
    own = text_id(wanted)
    found = [own] if own in texts else [name for name in texts if name.startswith(wanted)]
    if len(found) != 1:
        problem = f"{len(found)} segments begin so" if found else "no segment has this id or text"
        raise BadInput(f"`{wanted}`: {problem}; give an id of data/work/segments/NAME/segments.parquet, or its text")
    return found[0], texts[found[0]]


def _question_names(workspace: Workspace) -> dict[str, tuple[str, str]]:
    table = read_table(workspace.questions / "questions.parquet", ["question_id", "name", "text"])
    return {str(own): (str(name), str(text)) for own, name, text in table.itertuples(index=False)}


def _question(names: Mapping[str, tuple[str, str]], wanted: str) -> str:
    found = [question_id for question_id, own in names.items() if wanted in (question_id, *own)]
    if not found:
        raise BadInput(f"no question `{wanted}`; give a name, id or text of data/work/questions/questions.parquet")
    return found[0]


def _answerer_names(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """Return key -> name in params.yaml, of those answerers whose key can be told here."""
    names = {}
    for name in settings.answers.spec:
        try:
            answerer = open_answerer(name, settings.answers.spec, workspace.model, workspace.root)
            names[answerer.key] = name
        except QaembError:
            continue  # its model is not made here; its answers are shown without a name
    return names
