"""Commands on trained students: which there are, and taking one that `distill` made for use in answers."""

from __future__ import annotations

import shutil
from pathlib import Path

from qaemb.answers.students import find_student, read_student, shipped_students
from qaemb.errors import BadInput
from qaemb.files import atomic_folder
from qaemb.workspace import Workspace

_KEPT = ("student.json", "weights.safetensors", "CARD.md", "adapter")


def list_students(workspace: Workspace) -> None:
    """Print a line for each student: of the package, adopted, and trained by `distill`."""
    shipped = [(name, find_student(name)) for name in shipped_students()]
    folders = [*_folders(workspace.root / "data" / "students"), *_folders(workspace.students)]
    for name, folder in [*shipped, *((folder.relative_to(workspace.root).as_posix(), folder) for folder in folders)]:
        student = read_student(folder)
        trusted = sum(question.trusted for question in student.questions)
        others = ", scores other questions" if any(reader.conditioned for reader in student.readers) else ""
        forms = " and ".join("marked segments" if reader.context else "plain texts" for reader in student.readers)
        taught = f"{len(student.questions)} questions ({trusted} trusted){others}"
        print(f"{name}: on {student.encoder['name']}, reads {forms}, {taught}")
    if not shipped and not folders:
        print("no student; list one in distill.students and run `dvc repro`")


def adopt_student(workspace: Workspace, name: str, replace: bool = False) -> Path:
    """Copy a student that `distill` made to data/students/NAME, where git versions it, and return that folder.

    Answers can name it there (`student: data/students/NAME`): what `distill` writes can't be named, as it may itself be
    learnt from answers. BadInput if there is none, or another one of the name is there and `replace` is not given.
    """
    source, target = workspace.students / name, workspace.root / "data" / "students" / name
    if not (source / "student.json").exists():
        there = ", ".join(folder.name for folder in _folders(workspace.students)) or "none"
        raise BadInput(
            f"`distill` has made no student `{name}` (there are: {there}); run `qaemb distill --student {name}`"
        )
    new = read_student(source)
    if (target / "student.json").exists() and not replace and read_student(target).digest != new.digest:
        raise BadInput(f"{target} is another student; adopt with --replace, or rename one")
    with atomic_folder(target) as folder:
        for kept in _KEPT:
            if (source / kept).is_dir():
                shutil.copytree(source / kept, folder / kept)
            elif (source / kept).exists():
                shutil.copyfile(source / kept, folder / kept)
    return target


def _folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/student.json"))
