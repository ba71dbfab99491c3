"""Which data and which code a run came from: DVC md5s and the git commit, as tags."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput

# A run itself rewrites these, so a change in them says nothing about the code or the parameters.
_WRITTEN_BY_RUNS = ["dvc.lock", "reports", "data/selected", "mlruns"]


def data_tags(root: Path, paths: Sequence[Path]) -> dict[str, str]:
    """Return `dvc.PATH` -> md5 for the paths that dvc.lock knows, `git.commit`, and `git.dirty` ("true"/"false").

    `paths` are relative to `root` or under it. A path unknown to dvc.lock, a missing dvc.lock and a folder outside
    git give no tag. `git.dirty` leaves out what every run writes (dvc.lock, reports, selected sets).
    """
    known = _lock_md5s(root / "dvc.lock")
    names = [_relative(root, path) for path in paths]
    tags = {f"dvc.{name}": known[name] for name in names if name in known}
    return tags | _git_tags(root)


def _relative(root: Path, path: Path) -> str:
    absolute = path if path.is_absolute() else root / path
    try:
        return absolute.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        # Links out of the project (a data set on another disk) keep the name by which DVC knows them.
        return path.as_posix()


def _lock_md5s(lock: Path) -> dict[str, str]:
    try:
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, AttributeError) as error:
        raise BadInput(
            f"{lock} can't be read ({error}); restore it from git, or remove it and run `dvc repro`"
        ) from error
    md5s: dict[str, str] = {}
    # Outputs last, so that they win: a dependency still carries the md5 of its stage's previous run.
    for kind in ("deps", "outs"):
        for stage in stages.values():
            md5s.update(_entries(stage, kind))
    return md5s


def _entries(stage: dict[str, Any], kind: str) -> dict[str, str]:
    return {str(entry["path"]): str(entry["md5"]) for entry in stage.get(kind) or [] if "md5" in entry}


def _git_tags(root: Path) -> dict[str, str]:
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    excluded = [f":(exclude){path}" for path in _WRITTEN_BY_RUNS]
    changes = _git(root, "status", "--porcelain", "--", ".", *excluded)
    return {"git.commit": commit, "git.dirty": "true" if changes else "false"}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
