"""The rooms of docs/architecture.md: nobody imports upwards, and heavy tools load only in their own room, when used."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "qaemb"
BASE = {"errors", "identity", "files", "rows", "settings", "stats", "workspace"}
LOWER: dict[str, set[str]] = {
    "datasets": {"stimuli"},
    "stimuli": set(),
    "questions": set(),
    "models": set(),
    "answers": {"models", "questions", "stimuli"},
    "features": {"answers", "models", "questions", "stimuli"},
    "encoding": {"features"},
    "selection": {"features", "encoding"},
    "distill": {"answers", "features", "models", "questions", "stimuli"},
    "tasks": {"answers", "models", "questions", "selection"},
    "tracking": set(),
    "validation": {"answers", "questions"},
    "serving": {"answers", "models", "questions", "validation"},
    "report": {"questions", "encoding", "selection", "features", "tracking"},
}
HEAVY = {
    "torch": {"answers", "models", "distill"},
    "transformers": {"answers", "models", "distill"},
    "peft": {"answers", "models", "distill"},
    "mlflow": {"tracking"},
    "feast": {"serving"},
    "great_expectations": {"validation"},
    "himalaya": {"encoding"},
    "ray": {"answers"},
}


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module]
            if node.module == "qaemb":
                found += [f"qaemb.{alias.name}" for alias in node.names]
    return found


def test_every_room_has_a_place_in_the_order() -> None:
    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms - {"cli", "stages"} - BASE == set(LOWER)


def test_the_page_on_architecture_says_the_same() -> None:
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    section = page.split("## Rooms")[1].split("## Decisions")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("| `")]
    names = [set(re.findall(r"`(\w+)`", row[2])) if len(row) > 2 else set() for row in rows]
    assert {row[0].strip().strip("`"): lower for row, lower in zip(rows, names, strict=True)} == LOWER
    assert set(re.findall(r"`(\w+)`", section)) >= BASE


@pytest.mark.parametrize("room", sorted(LOWER))
def test_no_room_imports_upwards(room: str) -> None:
    allowed = BASE | LOWER[room] | {room}
    for path in (SOURCE / room).rglob("*.py"):
        for name in imports(path):
            if name.startswith("qaemb."):
                assert name.split(".")[1] in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("library", sorted(HEAVY))
def test_heavy_libraries_stay_in_their_room(library: str) -> None:
    for path in SOURCE.rglob("*.py"):
        if library in {name.split(".")[0] for name in imports(path)}:
            assert path.relative_to(SOURCE).parts[0] in HEAVY[library], f"{path} imports {library}"


def test_the_command_line_starts_without_heavy_libraries() -> None:
    code = "import sys, qaemb.cli, qaemb.stages.features; print(*sorted(set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {*HEAVY, "matplotlib", "nilearn", "sklearn"} & set(loaded)
