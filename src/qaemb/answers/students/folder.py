"""A student on disk: `student.json` (what it is and how good it is), `weights.safetensors`, and `CARD.md` to read.

Where its encoder was fine-tuned, `adapter/` holds what that added. Students come with the package (by name), or lie in
a folder that `distill` wrote (by a path with a slash in it). Nothing in the folder is code or a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from qaemb.answers.students.parts import Conditioned, Heads, KnownQuestion, Layer, Reader, Trust, Vectors
from qaemb.errors import BadInput, BadParameter
from qaemb.files import atomic_folder, read_json, write_json, write_text
from qaemb.identity import json_id
from qaemb.models.adapter import Adapter, array_id, read_adapter, write_adapter

FORMAT = 1
_ARRAYS = {
    "heads": ("weight", "bias"),
    "hidden": ("weight", "bias"),
    "conditioned": ("center", "map", "anchors", "parts"),
}
_NUMBERS = ("width", "scale", "bias")


@dataclass(frozen=True, eq=False)
class Student:
    """A trained student. `readers`: at most one with and one without context; `encoder`: name, wheel, digest.

    `about` is for people and for provenance (teacher, data, split, figures, licence); it changes no answer. `adapter`
    is what fine-tuning added to the encoder; None: the encoder as it is.
    """

    name: str
    encoder: Mapping[str, Any]
    questions: tuple[KnownQuestion, ...]
    readers: tuple[Reader, ...]
    trust: Trust
    about: Mapping[str, Any] = field(default_factory=dict)
    adapter: Adapter | None = None

    @cached_property
    def digest(self) -> str:
        """The hash of all that changes an answer: encoder, adapter, questions, what is trusted, and the weights."""
        return json_id(
            {
                **({"adapter": self.adapter.digest} if self.adapter else {}),
                "format": FORMAT,
                "encoder": self.encoder["digest"],
                "questions": [[question.text, question.trusted] for question in self.questions],
                "least_similarity": self.trust.least_similarity,
                "readers": _layout(self),
                "weights": {name: array_id(array) for name, array in sorted(_arrays_of(self).items())},
            }
        )

    def reader(self, context: bool) -> Reader | None:
        """Return the reader for texts with (or without) marked context, None where the student has none."""
        return next((reader for reader in self.readers if reader.context == context), None)


def shipped_students() -> list[str]:
    """Return the names of the students that come with the package."""
    root = files("qaemb.answers.students")
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and (entry / "student.json").is_file())


def find_student(name: str) -> Path:
    """Return the folder of a student: a name of the package, or a path (with a slash in it).

    BadParameter lists the names there are, or says that the path holds no student.
    """
    if "/" in name:
        if not (Path(name) / "student.json").exists():
            raise BadParameter(f"{name} holds no student (no student.json); run `qaemb distill`, or correct the path")
        return Path(name)
    if name not in shipped_students():
        names = ", ".join(shipped_students()) or "none"
        raise BadParameter(f"no student `{name}` comes with qaemb (there are: {names}); a path needs a slash in it")
    return Path(str(files("qaemb.answers.students").joinpath(name)))


def write_student(student: Student, folder: Path, card: str) -> None:
    """Write a student's folder: it appears whole, or not at all."""
    from safetensors.numpy import save

    with atomic_folder(folder) as new:
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in _arrays_of(student).items()}
        (new / "weights.safetensors").write_bytes(save(arrays))
        if student.adapter:
            write_adapter(student.adapter, new / "adapter")
        write_json(
            new / "student.json",
            {
                "format": FORMAT,
                "name": student.name,
                "digest": student.digest,
                "encoder": dict(student.encoder),
                "adapter": student.adapter is not None,
                "trust": asdict(student.trust),
                "readers": _layout(student),
                "questions": [asdict(question) for question in student.questions],
                "about": dict(student.about),
            },
        )
        write_text(new / "CARD.md", card)


def read_student(folder: Path) -> Student:
    """Return the student in a folder; BadInput names the file that is missing, damaged or of another format."""
    path = folder / "student.json"
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise BadInput(f"{path} has format {values.get('format')}, not {FORMAT}; train the student again")
    weights = _read_weights(folder / "weights.safetensors")
    try:
        readers = tuple(_reader(number, layout, weights) for number, layout in enumerate(values["readers"]))
        student = Student(
            name=values["name"],
            encoder=values["encoder"],
            questions=tuple(KnownQuestion(**question) for question in values["questions"]),
            readers=readers,
            trust=Trust(**values["trust"]),
            about=values["about"],
            adapter=read_adapter(folder / "adapter") if values.get("adapter") else None,
        )
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path} and weights.safetensors do not fit together ({error}); train it again") from error
    if student.digest != values.get("digest"):
        raise BadInput(f"{folder}: the weights are not those that student.json was written for; train it again")
    return student


def _arrays_of(student: Student) -> dict[str, Vectors]:
    """Return all arrays of a student by name, as they stand in the file."""
    arrays: dict[str, Vectors] = {}
    for number, reader in enumerate(student.readers):
        for kind, names in _ARRAYS.items():
            part = _part(reader, kind)
            if part is not None:
                arrays |= {f"{number}.{kind}.{name}": getattr(part, name) for name in names}
    return arrays


def _part(reader: Reader, kind: str) -> object:
    """Return the part of a reader that holds the arrays of a kind, None where it has none."""
    if kind == "hidden":
        return reader.heads.hidden if reader.heads else None
    return getattr(reader, kind)


def _layout(student: Student) -> list[dict[str, Any]]:
    return [
        {
            "context": reader.context,
            "heads": reader.heads is not None,
            "hidden": bool(reader.heads and reader.heads.hidden),
            "conditioned": {name: float(getattr(reader.conditioned, name)) for name in _NUMBERS}
            if reader.conditioned
            else None,
        }
        for reader in student.readers
    ]


def _reader(number: int, layout: Mapping[str, Any], weights: Mapping[str, Vectors]) -> Reader:
    def arrays(kind: str) -> dict[str, Vectors]:
        return {name: weights[f"{number}.{kind}.{name}"] for name in _ARRAYS[kind]}

    numbers = layout["conditioned"]
    hidden = Layer(**arrays("hidden")) if layout["hidden"] else None
    return Reader(
        context=layout["context"],
        heads=Heads(**arrays("heads"), hidden=hidden) if layout["heads"] else None,
        conditioned=Conditioned(**arrays("conditioned"), **numbers) if numbers else None,  # type: ignore[arg-type]
    )


def _read_weights(path: Path) -> dict[str, Vectors]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.exists():
        raise BadInput(f"{path} does not exist; train the student again")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadInput(f"{path} is damaged ({error}); train the student again") from error
