"""SIGKILL at random moments of `qaemb answers`, again and again, and a look at the store after each."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from benchmarks.store.project import COMMAND, Project
from qaemb.answers.blobs import FolderBlobs

PROGRAM = (sys.executable, "-c", "from qaemb.cli import main; main()")
_POLL_SECONDS = 0.002
_LONGEST_SECONDS = 120.0


@dataclass
class Kills:
    """What was seen. `losses`: what is wrong after a kill, or a visible block that was gone."""

    kills: int = 0
    writing: int = 0  # kills of a process that had published a block of its own
    finished: int = 0  # runs that came to their end: their matrix was checked, and the store emptied
    losses: list[str] = field(default_factory=list)


def kill_loop(project: Project, n_kills: int, seed: int = 0) -> Kills:
    """Return what `n_kills` kills of the real command did to the project's store; the same moments for a seed.

    A third of the kills fall anywhere in the life of a process, the others after it has published its first block.
    """
    rng, seen = random.Random(seed), Kills()
    whole_run = _seconds_of_a_run(project)
    writing = _seconds_of_writing(project)
    with tqdm(total=n_kills, desc="kills", unit="kill") as bar:
        while seen.kills < n_kills and not seen.losses:
            before = _visible(project)
            process = start(project)
            if rng.random() < 1 / 3:
                time.sleep(rng.uniform(0, whole_run))
            else:
                _wait_for_more(project, process, len(before))
                time.sleep(rng.uniform(0, writing))
            at_kill = _visible(project)
            killed = process.poll() is None
            os.kill(process.pid, signal.SIGKILL) if killed else None
            process.communicate()
            if process.returncode == -signal.SIGKILL:
                seen.kills += 1
                seen.writing += len(at_kill) > len(before)
                bar.update()
            _look(project, before | at_kill, seen)
    return seen


def start(project: Project) -> subprocess.Popen[str]:
    """Start the job in a process of its own."""
    command = [*PROGRAM, *COMMAND]
    return subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def _look(project: Project, visible: set[str], seen: Kills) -> None:
    """Check the store after a run; a whole one is compared and emptied, so that there is always something to write."""
    seen.losses += project.wrong()
    gone = visible - _visible(project)
    seen.losses += [f"{name} was visible and is gone" for name in sorted(gone)]
    if len(_visible(project)) == project.n_blocks and not seen.losses:
        found = project.store.read(*project.ids)
        if not np.array_equal(found.margin, project.expected.margin):
            seen.losses.append("the whole matrix is not the expected one")
        seen.finished += 1
        shutil.rmtree(project.store.folder)


def _visible(project: Project) -> set[str]:
    return {name for name in project.store.files() if name.endswith(".parquet")}


def _wait_for_more(project: Project, process: subprocess.Popen[str], n_blocks: int) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while process.poll() is None and time.monotonic() < deadline and len(_visible(project)) <= n_blocks:
        time.sleep(_POLL_SECONDS)


def _seconds_of_a_run(project: Project) -> float:
    begin = time.monotonic()
    _finish(project)
    seconds = time.monotonic() - begin
    shutil.rmtree(project.store.folder)
    return seconds


def _seconds_of_writing(project: Project) -> float:
    process = start(project)
    _wait_for_more(project, process, 0)
    begin = time.monotonic()
    process.communicate()
    seconds = time.monotonic() - begin
    shutil.rmtree(project.store.folder)
    return seconds


def _finish(project: Project) -> None:
    process = start(project)
    _, error = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(COMMAND)} failed: {error[-2000:]}")


def unfinished(project: Project) -> int:
    """Return how many hidden temporary files the kills left, which nothing reads."""
    return len(FolderBlobs(project.store.folder.parent).unfinished(project.store.key, time.time() + 1))
