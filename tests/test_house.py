"""The shape of src/qaemb: files that are one idea each, no long function, few public names (docs/architecture.md)."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are run from the project's root

from benchmarks.house import Shape, shape  # noqa: E402


@pytest.fixture(scope="module")
def source() -> Shape:
    return shape(ROOT / "src" / "qaemb")


def test_there_are_few_files_and_each_is_worth_opening(source: Shape) -> None:
    assert source.files <= 260
    assert source.median_lines >= 110


def test_no_file_and_no_function_is_long(source: Shape) -> None:
    assert source.max_lines <= 400
    assert source.longest_function <= 60


def test_few_names_are_public(source: Shape) -> None:
    assert source.public_per_1000 <= 22


def test_shape_counts_lines_functions_and_public_names(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "def one():\n    def two():\n        pass\n\n\nclass _Three:\n    def four(self): ...\n"
    )
    (tmp_path / "b.py").write_text("async def five():\n    pass\n\n\nX = 1\n")
    (tmp_path / "c.py").write_text("\n" * 8)
    assert shape(tmp_path) == Shape(
        files=3,
        lines=20,
        median_lines=7,
        p90_lines=pytest.approx(7.8),
        max_lines=8,
        longest_function=3,
        public_per_1000=100.0,
    )
