"""A small project per test, in which the real command line runs in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the benchmarks are found from the project's root

from benchmarks.store.project import COMMAND, Project  # noqa: E402

_HANDLER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
INTERRUPTIBLE = (sys.executable, "-c", f"{_HANDLER}from qaemb.cli import main; main()")
PROGRAM = (sys.executable, "-c", "from qaemb.cli import main; main()")


def qaemb(
    project: Project | Path, *arguments: str, program: tuple[str, ...] = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Run a command in a project, or in a folder, to its end; by default the job."""
    command = [*program, *(arguments or COMMAND)]
    folder = project.folder if isinstance(project, Project) else project
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


def begin(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a command, which a Ctrl-C reaches even where this process ignores it."""
    return subprocess.Popen(
        [*INTERRUPTIBLE, *(arguments or COMMAND)],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answered(done: subprocess.CompletedProcess[str]) -> int:
    """Return the cells that a run of the job answered, by its own account."""
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if "answered now" in line)
    return int(line.split(" cells, ")[1].split(" answered now")[0].replace(",", ""))


def block_files(project: Project) -> list[Path]:
    """Return the blocks that are visible."""
    return sorted(project.store.folder.glob("[!.]*.parquet")) if project.store.folder.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A job of 40 blocks."""
    return Project(tmp_path / "project", n_segments=1000, n_questions=8).write()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A function that mounts a tmpfs with options; skips where mounts are not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    mounted = []

    def mount(options: str) -> Path:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"this machine does not allow mounts: {done.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for one in mounted:
        subprocess.run(["umount", "-l", str(one)], check=True)
