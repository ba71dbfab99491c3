"""Copies of the project in which the tests of the whole pipeline run commands, as a user would."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


def succeed(*command: str, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def copy_project(target: Path) -> Path:
    """Copy what git knows or would add, as a clone of this working tree, into a repository of its own."""
    listed = succeed("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in (name for name in listed if (ROOT / name).is_file()):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    succeed("git", "init", "-q", cwd=target)
    return target


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new))


def answered_now(project: Path, job: str) -> int:
    """Return how many cells the last run of a job answered."""
    return json.loads((project / "reports" / "runs" / "answers" / f"{job}.json").read_text())["cells_answered_now"]


def metrics(project: Path, stage: str, item: str) -> dict:
    return json.loads((project / "reports" / "metrics" / stage / f"{item}.json").read_text())
