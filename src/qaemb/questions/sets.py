"""Question sets: named, ordered lists of bank questions, one YAML file a set.

    set: core
    description: ...               # and, where a selection wrote it, `provenance`
    questions: [color, sound]      # or `all: true` for the whole bank

Sets are those of a bank, those that come with the package (the folder `shipped` links to data/questions), and those
that a selection wrote: once adopted, such a set is versioned and named like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput, require
from qaemb.files import write_text
from qaemb.questions.bank import Question, QuestionSet, Rejection, YamlMapping, load_bank, yaml_files
from qaemb.questions.screening import screen
from qaemb.settings import QuestionsSettings

_SHIPPED = Path(__file__).with_name("shipped")


@dataclass(frozen=True)
class _SetFile:
    """A set as its file states it. `names` is None where the file says `all: true`."""

    path: Path
    name: str
    description: str
    names: tuple[str, ...] | None


def read_set_file(path: Path) -> _SetFile:
    """Return one set file, of the bank or written by a selection.

    BadInput names the file and the entry: a missing or unknown key, an empty list, a name that is no text, a question
    listed twice. Whether the questions exist is seen by `_resolve`.
    """
    mapping = YamlMapping.read(path)
    mapping.check_keys(("set",), ("description", "provenance", "questions", "all"))
    values = mapping.values
    if ("questions" in values) == ("all" in values):
        raise BadInput(f"{path}: give either `questions` (a list of names) or `all: true`")
    if "all" in values and values["all"] is not True:
        raise BadInput(f"{path}: `all` can only be true; for some of the questions list their names in `questions`")
    return _SetFile(
        path=path,
        name=mapping.text("set"),
        description=mapping.text("description", ""),
        names=None if "all" in values else _names(path, values["questions"]),
    )


def _names(path: Path, items: Any) -> tuple[str, ...]:
    if not isinstance(items, list) or not items:
        raise BadInput(f"{path}: the set is empty; `questions` must list at least one name")
    seen: set[str] = set()
    for number, item in enumerate(items, start=1):
        if not isinstance(item, str):
            raise BadInput(f"{path}: entry {number} of `questions` must be a name, not {item!r}")
        if item in seen:
            raise BadInput(f"{path}: the question `{item}` is listed twice (entry {number}); remove one")
        seen.add(item)
    return tuple(items)


def _read_set_files(folder: Path) -> list[_SetFile]:
    """Return the set files of a folder, sorted by file name; BadInput also when two files define the same set."""
    files: dict[str, _SetFile] = {}
    for path in yaml_files(folder):
        file = read_set_file(path)
        if file.name in files:
            raise BadInput(f"{path}: the set `{file.name}` stands in {files[file.name].path.name} too; rename one")
        files[file.name] = file
    return list(files.values())


def _resolve(file: _SetFile, questions: list[Question], rejected: list[Rejection]) -> QuestionSet:
    """Return the set with its questions, in the order of the file (bank order for `all: true`).

    BadInput names the file, the question, and, where the checks refused that question, their reason.
    """
    if file.names is None:
        if not questions:
            raise BadInput(f"{file.path}: the set is empty; no question of the bank passes the checks")
        return QuestionSet(file.name, tuple(questions), file.description)
    by_name = {question.name: question for question in questions}
    for name in file.names:
        if name not in by_name:
            raise BadInput(f"{file.path}: {_why_absent(name, rejected)}")
    return QuestionSet(file.name, tuple(by_name[name] for name in file.names), file.description)


def _why_absent(name: str, rejected: list[Rejection]) -> str:
    for rejection in rejected:
        if rejection.name == name:
            return (
                f"the question `{name}` was rejected: it {rejection.reason}. "
                f"Correct it in {rejection.file} or take it out of the set"
            )
    return f"there is no question `{name}` in the bank; correct the name or add the question"


def load_sets(folder: Path, questions: list[Question], rejected: list[Rejection]) -> list[QuestionSet]:
    """Return every set of a folder with its questions, by file name; errors as in `read_set_file`, `_resolve`."""
    return [_resolve(file, questions, rejected) for file in _read_set_files(folder)]


@cache
def _shipped_sets() -> dict[str, QuestionSet]:
    """Return the sets by name, checked as the stage `questions` checks a bank."""
    accepted, rejected = screen(load_bank(_SHIPPED / "bank"), QuestionsSettings().duplicate_similarity)
    return {question_set.name: question_set for question_set in load_sets(_SHIPPED / "sets", accepted, rejected)}


def shipped_set(name: str) -> QuestionSet:
    """Return a set that comes with the package; BadParameter lists those there are."""
    return require(_shipped_sets(), name, "question set", "the package qaemb")


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


def _present(name: str, sets_folder: Path) -> _SetFile | None:
    if not any(sets_folder.glob("*.yaml")):
        return None
    return next((file for file in _read_set_files(sets_folder) if file.name == name), None)
