"""`qaemb answers status|verify|repair|gc`: what the answer store has, whether it is sound, and what nothing needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers import Answerer
from qaemb.answers.blobs import FolderBlobs
from qaemb.answers.plan import Wanted
from qaemb.answers.store import Store, store_keys
from qaemb.errors import QaembError, StoreError
from qaemb.files import read_table
from qaemb.identity import text_id
from qaemb.questions import load_set
from qaemb.settings import AnswersJob, Settings
from qaemb.stages.answers import Job, open_job, open_stored
from qaemb.tasks import read_task
from qaemb.workspace import Workspace

_ABANDONED_AFTER = 24 * 3600.0  # seconds; a temporary file that is older belongs to no running process


def status(settings: Settings, workspace: Workspace) -> None:
    """Print for each job how many of its cells the store has, and per story and question set which share."""
    address = workspace.store(settings.answers.store)
    counts = {store: len(store.present()) for store in (Store(address, key) for key in store_keys(address))}
    stores, n_blocks = [store for store, number in counts.items() if number], sum(counts.values())
    megabytes = sum(store.blobs.size(store.key) for store in stores) / 1e6
    print(f"store {address}: {len(stores)} answerers, {n_blocks:,} blocks, {megabytes:,.1f} MB")
    grouped: dict[tuple[str, str], list[str]] = {}
    for name, job in settings.answers.jobs.items():
        grouped.setdefault((job.answerer, job.segmentation), []).append(name)
    for (answerer, segmentation), names in grouped.items():
        try:
            lines = _coverage(settings, workspace, names)
        except QaembError as error:
            lines = [f"  not known: {error}"]
        print(f"\n{answerer} on {segmentation} ({', '.join(f'job {name}' for name in names)})", *lines, sep="\n")


def verify(settings: Settings, workspace: Workspace) -> None:
    """Check every byte of the store and print what is wrong; StoreError if anything is."""
    address = workspace.store(settings.answers.store)
    damages = list(_damages(address))
    for store, name, problem in damages:
        print(f"{store.blobs.address(store.key, name)} {problem}")
    if damages:
        raise StoreError(
            f"{len(damages)} files of {address} are damaged; `qaemb answers repair` sets them aside and answers their "
            "cells anew, and only these"
        )
    print(f"verify: every file of {address} is sound")


def repair(settings: Settings, workspace: Workspace) -> None:
    """Set damaged files aside, and answer their cells anew for all jobs whose matrix had been made."""
    address = workspace.store(settings.answers.store)
    keys = set()
    for store, name, problem in list(_damages(address)):
        print(f"{store.blobs.address(store.key, name)} {problem}: set aside as {store.set_aside(name)}")
        keys.add(store.key)
    if not keys:
        print(f"repair: every file of {address} is sound; nothing to do")
        return
    for name in settings.answers.jobs:
        if not (workspace.answers(name) / "margin.parquet").exists():
            continue  # never finished, so that what it lacks is more than what was damaged
        job = open_job(settings, workspace, name)
        damaged = [one for one in job.stored.storing if one.answerer.key in keys]
        for one in damaged:
            one.store.describe(one.answerer.spec)
        if damaged:
            plans = job.stored.plan(job.grid, settings.answers.block_texts)
            print(job.stored.describe(f"repair, {name}", plans), flush=True)
            job.stored.run(job.grid, plans, name)
    print(f"repair: {address} is sound again; cells that no job with a matrix needs were not answered anew")


@dataclass
class _Garbage:
    """Files that nothing needs, by reason."""

    blocks: list[tuple[Store, str]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, store: Store, names: list[str]) -> None:
        self.blocks += [(store, name) for name in names]
        self.reasons[reason] = self.reasons.get(reason, 0) + len(names)


def collect_garbage(settings: Settings, workspace: Workspace, yes: bool) -> None:
    """Print which blocks no answerer of params.yaml, no current text and no current question needs; `yes`: remove.

    BadInput or BadParameter if an answerer or a segmentation of params.yaml is not made yet, or a task's data can't be
    read: what it needs is not known. A block with one cell that is needed stays whole.
    """
    address = workspace.store(settings.answers.store)
    segments, questions = _current(settings, workspace)
    keys = {answerer.key for answerer in _answerers(settings, workspace)}
    garbage = _Garbage()
    for key in tqdm(store_keys(address), desc="gc", unit="answerer"):
        store = Store(address, key)
        if key not in keys:
            garbage.add("of answerers that are not in params.yaml", store, store.files())
            continue
        garbage.add("doubled", store, store.duplicates())
        useless = [block.name for block in store.blocks() if not block.has_any(segments, questions)]
        garbage.add("without a current text or question", store, useless)
    unfinished = _unfinished(address)
    for reason, number in garbage.reasons.items():
        if number:
            print(f"{number:,} files {reason}")
    if unfinished:
        print(f"{len(unfinished):,} unfinished files of processes that died over a day ago")
    n_files = len(garbage.blocks) + len(unfinished)
    if not yes:
        way = "; nothing is removed without --yes. Answers to other texts (`evaluate`, `cascade`) count as not needed"
        print(f"gc: {n_files:,} files of {address} are not needed{way if n_files else ''}")
        return
    for store, name in tqdm(garbage.blocks, desc="remove", unit="file", disable=not garbage.blocks):
        store.blobs.remove(store.key, name)
    for path in unfinished:
        path.unlink(missing_ok=True)
    print(f"gc: {n_files:,} files of {address} removed")


def _coverage(settings: Settings, workspace: Workspace, names: list[str]) -> list[str]:
    """Return lines about jobs of one answerer and segmentation: their cells, then the share per story and set."""
    jobs = [open_job(settings, workspace, name) for name in names]
    sets = [str(name) for name in read_table(workspace.questions / "sets.parquet", ["set"])["set"].unique()]
    grid, places = _everything(workspace, jobs[0], sets)
    known = jobs[0].stored.known(grid)
    lines = []
    for job in jobs:
        cells = known[:, places[job.settings.set]]
        lines.append(
            f"  {job.name}: {int(cells.sum()):,} of {cells.size:,} cells, set {job.settings.set}, "
            f"key {job.stored.answerer.key}"
        )
    shown = {name: columns for name, columns in places.items() if known[:, columns].any()}
    return lines + (_table(workspace, jobs[0].settings, grid, known, shown) if shown else [])


def _everything(workspace: Workspace, job: Job, sets: list[str]) -> tuple[Wanted, dict[str, list[int]]]:
    """Return the job's segments with the questions of all sets, and the columns of each set."""
    questions = {name: load_set(workspace.questions, name) for name in sets}
    texts = {question.question_id: question.text for members in questions.values() for question in members}
    column = {name: number for number, name in enumerate(texts)}
    grid = replace(job.grid, question_ids=list(texts), questions=list(texts.values()))
    return grid, {name: [column[one.question_id] for one in members] for name, members in questions.items()}


def _table(
    workspace: Workspace, job: AnswersJob, grid: Wanted, known: NDArray[np.bool_], sets: dict[str, list[int]]
) -> list[str]:
    """Return a line per story with the share of cells known of each set; stories that are alike share a line."""
    occurrences = read_table(workspace.segments(job.segmentation) / "occurrences.parquet", ["story", "segment_id"])
    rows = pd.Series(range(len(grid.segment_ids)), index=list(grid.segment_ids))
    alike: dict[tuple[float, ...], list[str]] = {}
    for story, of_story in occurrences.groupby("story", sort=False):
        cells = known[rows[of_story["segment_id"].unique()].to_numpy()]
        alike.setdefault(tuple(float(cells[:, columns].mean()) for columns in sets.values()), []).append(str(story))
    width = max(10, *map(len, sets)) + 2
    lines = [" " * 28 + "".join(f"{name:>{width}}" for name in sets)]
    for shares, stories in alike.items():
        title = stories[0] if len(stories) == 1 else f"{len(stories)} stories"
        lines.append(f"  {title[:26]:<26}" + "".join(f"{_percent(share):>{width}}" for share in shares))
    return lines


def _percent(share: float) -> str:
    """Return a share as a percentage; 100 and 0 only where it is all or nothing."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}"


def _damages(address: str | Path) -> Iterator[tuple[Store, str, str]]:
    """Yield store, file name and problem of every damaged file."""
    stores = [Store(address, key) for key in store_keys(address)]
    with tqdm(total=sum(len(store.files()) for store in stores), desc="verify", unit="file") as bar:
        for store in stores:
            for name, problem in store.check():
                bar.update()
                if problem:
                    yield store, name, problem


def _current(settings: Settings, workspace: Workspace) -> tuple[set[str], set[str]]:
    """Return the ids of all segments of all segmentations, of the texts of all tasks, and of all questions."""
    segments: set[str] = set()
    for name in settings.segments:
        segments.update(read_table(workspace.segments(name) / "segments.parquet", ["segment_id"])["segment_id"])
    for task in settings.downstream.tasks.values():
        segments.update(text_id(text) for text in read_task(task, workspace.root / task.data).texts)
    questions = read_table(workspace.questions / "questions.parquet", ["question_id"])["question_id"]
    return segments, set(questions)


def _answerers(settings: Settings, workspace: Workspace) -> Iterator[Answerer]:
    for name in settings.answers.spec:
        yield from (one.answerer for one in open_stored(settings, workspace, name).storing)


def _unfinished(address: str | Path) -> list[Path]:
    """Return temporary files of a local store that are old enough to be nobody's."""
    if isinstance(address, str):
        return []
    blobs = FolderBlobs(address)
    before = time.time() - _ABANDONED_AFTER
    return [path for folder in blobs.folders() for path in blobs.unfinished(folder, before)]
