"""`qaemb answers export|import|show`: answers as a folder that travels, and all stored answers about a text."""

from __future__ import annotations

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
from scipy.special import expit
from tqdm import tqdm

from qaemb.answers.blocks import Provenance
from qaemb.answers.export import Export, read_export, write_export
from qaemb.answers.store import Store, store_keys
from qaemb.errors import BadInput, QaembError
from qaemb.files import atomic_folder, read_table
from qaemb.identity import text_id
from qaemb.settings import Settings
from qaemb.stages.answers import Job, answerer_opener, job_spec, open_job
from qaemb.workspace import Workspace


def export_job(settings: Settings, workspace: Workspace, job: str, folder: Path) -> None:
    """Write a job's answers with their provenance to a new folder.

    StoreError if the store lacks a cell, BadInput if the folder is there already.
    """
    opened = open_job(settings, workspace, job)
    answers = opened.stored.read(opened.grid)
    block, blocks = _blocks(opened)
    export = Export(
        answerer=opened.settings.answerer,
        key=opened.stored.answerer.key,
        spec=opened.stored.answerer.spec,
        segment_ids=opened.grid.segment_ids,
        questions=[{"question_id": q.question_id, "name": q.name, "text": q.text} for q in opened.questions],
        margin=answers.margin,
        mass=answers.mass,
        block=block,
        blocks=blocks,
        exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        about=_about(settings, opened),
    )
    write_export(export, folder)
    rows, columns = answers.margin.shape
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
    number, blocks = job.stored.sources(job.grid)
    return number, [{"name": name, **(asdict(provenance) if provenance else {})} for name, provenance in blocks]


def _about(settings: Settings, job: Job) -> dict[str, Any]:
    """Return what the matrix is: job, segmentation, set, models, and of a cascade what it approximates."""
    spec = job_spec(job, job.stored.figures(job.grid))
    rest = {name: value for name, value in spec.items() if name not in ("key", "spec", "questions", "answerer")}
    return {"dataset": settings.dataset.name, "qaemb": version("qaemb"), **rest}


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
    question_id = None if question is None else _question(names, question)
    print(f"segment {segment_id}: {text!r}")
    answerers = _answerer_names(settings, workspace)
    address, n_answers = workspace.store(settings.answers.store), 0
    for key in tqdm(store_keys(address), desc="show", unit="answerer", leave=False):
        store = Store(address, key)
        answers = [one for one in _answers(store, segment_id) if question_id in (None, one.question_id)]
        if answers:
            print(f"\n{answerers.get(key, 'an answerer that is not in params.yaml')}, key {key}: {_spec(store.spec())}")
            print(_lines(answers, names))
        n_answers += len(answers)
    if not n_answers:
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
        answers = block.answers(new)
        for column, name in enumerate(new):
            margin, mass = float(answers.margin[row, column]), float(answers.mass[row, column])
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
                "P(yes)": f"{expit(one.margin):.4f}",
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
    shown = dict(spec) | ({"prompt": prompt.get("name", "?")} if isinstance(prompt, dict) else {})
    return ", ".join(f"{name} {value}" for name, value in shown.items() if isinstance(value, str | int | float))


def _segment(settings: Settings, workspace: Workspace, name: str) -> tuple[str, str]:
    texts: dict[str, str] = {}
    for segmentation in settings.segments:
        path = workspace.segments(segmentation) / "segments.parquet"
        if path.exists():
            table = read_table(path, ["segment_id", "text"])
            texts.update(zip(table["segment_id"], table["text"], strict=True))
    of_text = text_id(name)
    ids = [of_text] if of_text in texts else [segment_id for segment_id in texts if segment_id.startswith(name)]
    if len(ids) != 1:
        problem = f"{len(ids)} segments begin so" if ids else "no segment has this id or text"
        raise BadInput(f"`{name}`: {problem}; give an id of data/work/segments/NAME/segments.parquet, or its text")
    return ids[0], texts[ids[0]]


def _question_names(workspace: Workspace) -> dict[str, tuple[str, str]]:
    table = read_table(workspace.questions / "questions.parquet", ["question_id", "name", "text"])
    return {str(key): (str(name), str(text)) for key, name, text in table.itertuples(index=False)}


def _question(names: Mapping[str, tuple[str, str]], question: str) -> str:
    ids = [question_id for question_id, name_and_text in names.items() if question in (question_id, *name_and_text)]
    if not ids:
        raise BadInput(f"no question `{question}`; give a name, id or text of data/work/questions/questions.parquet")
    return ids[0]


def _answerer_names(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """Return key -> name in params.yaml, of those answerers whose key can be told here."""
    names = {}
    for name in settings.answers.spec:
        try:
            names[answerer_opener(settings, workspace)(name).key] = name
        except QaembError:
            continue  # its model is not made here; its answers are shown without a name
    return names
