from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qaemb.errors import BadInput
from qaemb.questions import adopt, read_set_file

Write = Callable[..., Path]


@pytest.fixture
def selected(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "selected" / "space.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# chosen\nset: chosen\ndescription: d\nquestions: [sound, color]\n", encoding="utf-8")
    return path


def test_adopts_into_a_new_folder_and_again_changes_nothing(selected: Path, tmp_path: Path) -> None:
    target = adopt(selected, tmp_path / "sets")
    assert target == tmp_path / "sets" / "chosen.yaml"
    assert target.read_text() == selected.read_text()
    target.write_text(target.read_text() + "# a remark of mine\n")
    assert adopt(selected, tmp_path / "sets") == target
    assert target.read_text().endswith("# a remark of mine\n")


def test_refuses_a_different_set_unless_told(selected: Path, tmp_path: Path, write_set: Write) -> None:
    present = write_set("chosen", ["color", "sound"], file="mine")
    before = present.read_text()
    with pytest.raises(BadInput, match=r"mine.yaml: a different set `chosen` is there; adopt with --replace"):
        adopt(selected, present.parent)
    assert present.read_text() == before
    assert adopt(selected, present.parent, replace=True) == present
    assert read_set_file(present).names == ("sound", "color")
    assert [path.name for path in present.parent.iterdir()] == ["mine.yaml"]


def test_never_overwrites_another_set_of_that_file_name(selected: Path, write_set: Write) -> None:
    other = write_set("other", ["color"], file="chosen")
    with pytest.raises(BadInput, match=r"chosen.yaml holds another set"):
        adopt(selected, other.parent, replace=True)
    assert read_set_file(other).name == "other"


@pytest.mark.parametrize(
    "text",
    ["set: chosen\n", "set: ../chosen\nquestions: [a]\n", "set: .c\nquestions: [a]\n", "set: c\nquestions: [a, a]\n"],
)
def test_wrong_file_leaves_nothing_behind(text: str, selected: Path, tmp_path: Path) -> None:
    selected.write_text(text)
    with pytest.raises(BadInput, match=r"space.yaml"):
        adopt(selected, tmp_path / "sets")
    assert not (tmp_path / "sets").exists()
