from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from qaemb.settings import Settings, load_settings
from qaemb.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def entry(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "text": text, "yes_example": f"a yes for {name}", "no_example": f"a no for {name}", **more}


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., dict[str, Any]]:
    return entry


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(ROOT / "params.yaml")


@pytest.fixture
def write_family(tmp_path: Path) -> Callable[..., Path]:
    """Write one family file into tmp_path/data/questions/bank; returns the bank."""

    def write(family: str, questions: list[Any], **more: Any) -> Path:
        bank = tmp_path / "data" / "questions" / "bank"
        bank.mkdir(parents=True, exist_ok=True)
        values = {"family": family, "provenance": "a test", "questions": questions, **more}
        (bank / f"{family}.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return bank

    return write


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., Path]:
    """Write one set file into tmp_path/data/questions/sets; returns its path."""

    def write(name: str, questions: list[Any] | None = None, file: str | None = None, **more: Any) -> Path:
        path = tmp_path / "data" / "questions" / "sets" / f"{file or name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {"set": name, "description": "a test"}
        if questions is not None:
            values["questions"] = questions
        path.write_text(yaml.safe_dump(values | more, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def workspace(tmp_path: Path, write_family: Callable[..., Path], write_set: Callable[..., Path]) -> Workspace:
    """A project with two families and two sets."""
    write_family(
        "senses",
        [
            entry("color", "Does the text mention a color?", property="color"),
            entry("sound", "Does the text describe a sound?"),
        ],
    )
    write_family("food", [entry("eating", "Does the text describe someone eating?")])
    write_set("some", ["sound", "eating"])
    write_set("whole", all=True)
    return Workspace(tmp_path)
