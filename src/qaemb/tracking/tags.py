"""Tags that say which data and which code a run used: DVC's digests of the data, and the git commit.

A run is logged before its stage's entry in dvc.lock is written, and mostly before that entry is committed. So the
digests of the stage's results are tags, too: `git log -S DIGEST -- dvc.lock` finds the commit that recorded them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput

# A run itself rewrites these, so a change in them says nothing about the code or the parameters.
_WRITTEN_BY_RUNS = ["dvc.lock", "reports", "data/selected", "mlruns"]
_STAGE = "DVC_STAGE"  # the variable in which DVC names the stage to the command that it runs


def data_tags(root: Path, inputs: Sequence[Path], results: Sequence[Path] = ()) -> dict[str, str]:
    """Return the tags of a run that read `inputs` and has just written `results` (paths under `root`).

    `dvc.PATH` is the md5 that DVC gives the path. For a result it is computed from the file. For an input it is
    computed if a user typed the command, because the file may differ from dvc.lock; a stage that DVC runs reads it from
    dvc.lock, which DVC has updated, and adds its name as `dvc.stage`. `git.commit` is the commit. `git.dirty` is "true"
    or "false" and leaves out files that every run writes (dvc.lock, reports, selected sets). A path that does not
    exist, that dvc.lock does not list, or a folder outside git gives no tag. BadInput for a broken dvc.lock.
    """
    stage = os.environ.get(_STAGE)
    md5s = _lock_md5s(root / "dvc.lock") if stage else _content_md5s(root, inputs)
    of_inputs = {name: md5s[name] for name in (_relative(root, path) for path in inputs) if name in md5s}
    tags = {f"dvc.{name}": md5 for name, md5 in (of_inputs | _content_md5s(root, results)).items()}
    return tags | ({"dvc.stage": stage} if stage else {}) | _git_tags(root)


def _content_md5(path: Path) -> str:
    """Return the md5 that DVC gives a file or a folder (`HEX.dir`: of the list of its files and their md5s)."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    listed = [{"md5": _content_md5(file), "relpath": name} for name, file in files]
    return f"{hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest()}.dir"


def _content_md5s(root: Path, paths: Sequence[Path]) -> dict[str, str]:
    placed = {_relative(root, path): root / path for path in paths}
    return {name: _content_md5(path) for name, path in placed.items() if path.exists()}


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
