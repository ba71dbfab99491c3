"""What every benchmark writes: its numbers, and the commit, machine and settings that they belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qaemb.files import write_json

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "torch", "transformers", "scikit-learn", "himalaya")


def write_result(
    name: str,
    headline: Mapping[str, float | None],
    settings: Mapping[str, Any],
    figures: Any,
    folder: Path = RESULTS,
) -> Path:
    """Write NAME.json, by default into benchmarks/results/, and return its path; `headline`: the numbers to watch."""
    path = folder / f"{name}.json"
    write_json(
        path,
        {
            "headline": dict(headline),
            "commit": _git("rev-parse", "HEAD"),
            "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
            "machine": _machine(),
            "settings": dict(settings),
            "figures": figures,
        },
    )
    return path


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
