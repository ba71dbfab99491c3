"""Versions of what is served: an answerer's answers to the questions of one set, and the service by which to ask them.

The service of a set, `core`, gives what is published now. The service of a version, `core_v_0a1b2c3d`, gives the same
columns of the same answerer for ever, whatever is published later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qaemb.errors import BadInput
from qaemb.files import read_json, write_json
from qaemb.identity import json_id
from qaemb.questions import Question

_FILE = "versions.json"
_LENGTH = 8  # hex digits: short enough for a name; two versions of a set with one id have a chance of 1 in 4 billion
_SERVICE = re.compile(r"(?P<set>.+)_v_(?P<version>[0-9a-f]{8})")


def version_id(answerer_key: str, questions: Sequence[Question]) -> str:
    """Return the short hash of an answerer's key and of names and ids of questions, in their order.

    Names are in it because they are the columns that are served: a renamed question is another version.
    """
    return json_id([answerer_key, *([question.name, question.question_id] for question in questions)])[:_LENGTH]


def named_like_a_version(name: str) -> bool:
    """Return whether a set's name could be taken for a version's service."""
    return _SERVICE.fullmatch(name) is not None


@dataclass(frozen=True)
class Version:
    """A set's questions, in order, as answered by one answerer (`answerer` is its name when they were published)."""

    set_name: str
    answerer: str
    answerer_key: str
    questions: tuple[Question, ...]

    @property
    def id(self) -> str:
        """Its short hash; sets with the same questions in the same order share it."""
        return version_id(self.answerer_key, self.questions)

    @property
    def service(self) -> str:
        """The name of its Feast service."""
        return f"{self.set_name}_v_{self.id}"

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return [question.name for question in self.questions]

    @property
    def question_ids(self) -> list[str]:
        """The ids of its questions, in the order of its columns."""
        return [question.question_id for question in self.questions]


def read_versions(folder: Path) -> tuple[Version, ...]:
    """Return the versions that a folder lists, the oldest first; none where it lists none."""
    path = folder / _FILE
    if not path.exists():
        return ()
    return tuple(
        Version(
            set_name=item["set"],
            answerer=item["answerer"],
            answerer_key=item["answerer_key"],
            questions=tuple(Question(own["name"], own["text"]) for own in item["questions"]),
        )
        for item in read_json(path)
    )


def write_versions(folder: Path, versions: Sequence[Version]) -> None:
    """Write versions.json; a file that says the same already stays as it is."""
    if read_versions(folder) != tuple(versions) or not (folder / _FILE).exists():
        write_json(folder / _FILE, [_values(version) for version in versions])


def joined(*groups: Iterable[Version]) -> tuple[Version, ...]:
    """Return the versions of all groups, each service once, in the order in which they come first."""
    by_service: dict[str, Version] = {}
    for group in groups:
        for version in group:
            by_service.setdefault(version.service, version)
    return tuple(by_service.values())


def find_version(versions: Sequence[Version], service: str) -> Version:
    """Return the version of a service `SET_v_HASH`; BadInput names the versions of that set that there are."""
    for version in versions:
        if version.service == service:
            return version
    match = _SERVICE.fullmatch(service)
    asked = match["set"] if match else service
    known = [version.service for version in versions if version.set_name == asked]
    raise BadInput(
        f"feature service `{service}` was never published; known of set `{asked}` are "
        f"{', '.join(known) or 'none'} (`qaemb features --versions` lists all)"
    )


def _values(version: Version) -> dict[str, object]:
    return {
        "version": version.id,
        "set": version.set_name,
        "answerer": version.answerer,
        "answerer_key": version.answerer_key,
        "questions": [{"name": question.name, "text": question.text} for question in version.questions],
    }
