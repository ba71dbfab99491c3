"""`make student`: train the student that comes with qaemb again, from lebel_pcs, into the package's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.student.pcs import ROOT, make_inputs, prepare
from qaemb.answers.students import read_student
from qaemb.files import atomic_folder
from qaemb.stages.distill import distill

NAME = "stories_minilm"
SHIPPED = ROOT / "src" / "qaemb" / "answers" / "students" / NAME
_FILES = ("student.json", "weights.safetensors", "CARD.md")


def main() -> None:
    """Run the stages of the profile up to `distill`, and copy the student into the package."""
    settings, workspace = prepare()
    make_inputs(settings, workspace)
    distill(settings, workspace, NAME)
    print(_copy(workspace.students / NAME))


def _copy(source: Path) -> str:
    with atomic_folder(SHIPPED) as folder:
        for name in _FILES:
            shutil.copyfile(source / name, folder / name)
    return f"{SHIPPED.relative_to(ROOT)}: digest {read_student(SHIPPED).digest}"


if __name__ == "__main__":
    main()
