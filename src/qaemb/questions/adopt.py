"""Adopting a set that a selection wrote: from then on it is versioned and named like any other."""

from __future__ import annotations

from pathlib import Path

from qaemb.errors import BadInput
from qaemb.files import write_text
from qaemb.questions.sets import SetFile, read_set_file, read_set_files


def adopt(selected_file: Path, sets_folder: Path, replace: bool = False) -> Path:
    """Copy a set file into the bank's sets and return the copy's path; adopting it again changes nothing.

    BadInput when the file is no valid set, or when a set of its name with other questions is there already and
    `replace` is false. Whether the bank has the questions is checked by the stage `questions`.
    """
    selected = read_set_file(selected_file)
    if Path(selected.name).name != selected.name or selected.name.startswith("."):
        raise BadInput(f"{selected_file}: `{selected.name}` can't name a file; rename the set")
    present = _present(selected.name, sets_folder)
    if present is None:
        target = sets_folder / f"{selected.name}.yaml"
        if target.exists():
            raise BadInput(f"{target} holds another set; rename one of them")
    else:
        target = present.path
        if present.names == selected.names:
            return target
        if not replace:
            raise BadInput(
                f"{target}: a different set `{selected.name}` is there; adopt with --replace, or rename the set in "
                f"{selected_file}"
            )
    write_text(target, selected_file.read_text(encoding="utf-8"))
    return target


def _present(name: str, sets_folder: Path) -> SetFile | None:
    if not any(sets_folder.glob("*.yaml")):
        return None
    return next((file for file in read_set_files(sets_folder) if file.name == name), None)
