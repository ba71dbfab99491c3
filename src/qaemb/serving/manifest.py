"""What is published: a small file beside the feature store from which its definitions are built.

Versions of what is served: an answerer's answers to the questions of one set, and the service by which to ask them.

The service of a set, `core`, gives what is published now. The service of a version, `core_v_0a1b2c3d`, gives the same
columns of the same answerer for ever, whatever is published later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.files import read_json, write_json
from qaemb.identity import json_id
from qaemb.questions import Question

ENTITY = "segment"
ARRAY = "margins"
TIMESTAMP = "event_timestamp"
_RESERVED = (ENTITY, ARRAY, TIMESTAMP)


@dataclass(frozen=True)
class Manifest:
    """One published matrix.

    `questions` are the columns of the matrix in order (name and text), `sets` the published question sets by name,
    each an ordered part of them; `answerer_key` is what an answerer needs to have to add to it; `answers_sha256` is
    the digest of the margins that were published; `approximates` says of a cascade whom it approximates, how well, and
    how many calls it saved on the matrix (None: the answers are the answerer's own). BadInput when a question can't be
    published under its name, stands there twice, or belongs to a set without having been answered.
    """

    job: str
    answerer: str
    answerer_key: str
    answers_sha256: str
    questions: tuple[Question, ...]
    sets: dict[str, tuple[str, ...]]
    approximates: str | None = None
    ttl_days: float = 0.0

    def __post_init__(self) -> None:
        for text, count in Counter(self.question_texts).items():
            if count > 1:
                raise BadInput(f"question {text!r} has two names in job `{self.job}`; remove one from its question set")
        for name, count in Counter(self.names).items():
            if count > 1:
                raise BadInput(f"question `{name}` stands twice in job `{self.job}`; remove it from its question set")
            if name in _RESERVED:
                raise BadInput(f"question `{name}` can't be published: the feature store uses that name; rename it")
        for set_name, members in self.sets.items():
            if named_like_a_version(set_name):
                raise BadInput(f"question set `{set_name}` can't be published: versions have such names; rename it")
            absent = [name for name in members if name not in self.names]
            if absent:
                named = ", ".join(f"`{name}`" for name in absent)
                raise BadInput(
                    f"question set `{set_name}` can't be published: job `{self.job}` has no answers to {named}; "
                    "publish a job whose set has them (params.yaml: publish)"
                )

    @property
    def names(self) -> list[str]:
        """The names of the questions, in the order of the array that is served."""
        return [question.name for question in self.questions]

    @property
    def question_texts(self) -> list[str]:
        """The questions themselves, in the order of the array that is served."""
        return [question.text for question in self.questions]

    @property
    def question_ids(self) -> list[str]:
        """The ids of the questions, in the order of the array that is served."""
        return [question.question_id for question in self.questions]

    @property
    def version(self) -> str:
        """The short hash of what the array holds: it is in the names of the Feast objects that stand on the array."""
        return version_id(self.answerer_key, self.questions)

    @property
    def versions(self) -> tuple[Version, ...]:
        """The version of each published set."""
        by_name = {question.name: question for question in self.questions}
        return tuple(
            Version(name, self.answerer, self.answerer_key, tuple(by_name[member] for member in members))
            for name, members in self.sets.items()
        )

    def serves(self, version: Version) -> bool:
        """Return whether a version's columns can be taken out of the array that is served."""
        own = {(question.name, question.text) for question in self.questions}
        asked = {(question.name, question.text) for question in version.questions}
        return version.answerer_key == self.answerer_key and asked <= own

    def members(self, set_name: str) -> tuple[str, ...]:
        """Return the questions of a published set in order; BadInput names the sets that there are."""
        if set_name not in self.sets:
            raise BadInput(f"question set `{set_name}` is not published; known are {', '.join(self.sets)}")
        return self.sets[set_name]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    write_json(folder / "manifest.json", _values(manifest))


def read_manifest(repo: Path) -> Manifest | None:
    """Return what is published in a feature repository, None where `publish` never ran."""
    path = repo / "data" / "manifest.json"
    if not path.exists():
        return None
    values = read_json(path)
    questions = tuple(Question(item["name"], item["text"]) for item in values.pop("questions"))
    sets = {name: tuple(members) for name, members in values.pop("sets").items()}
    return Manifest(**values, questions=questions, sets=sets)


def _values(manifest: Manifest) -> dict[str, Any]:
    return {
        "job": manifest.job,
        "answerer": manifest.answerer,
        **({"approximates": manifest.approximates} if manifest.approximates else {}),
        "answerer_key": manifest.answerer_key,
        "answers_sha256": manifest.answers_sha256,
        "questions": [{"name": question.name, "text": question.text} for question in manifest.questions],
        "sets": {name: list(members) for name, members in manifest.sets.items()},
        **({"ttl_days": manifest.ttl_days} if manifest.ttl_days else {}),
    }


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
        write_json(folder / _FILE, [_values_versions(version) for version in versions])


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


def _values_versions(version: Version) -> dict[str, object]:
    return {
        "version": version.id,
        "set": version.set_name,
        "answerer": version.answerer,
        "answerer_key": version.answerer_key,
        "questions": [{"name": question.name, "text": question.text} for question in version.questions],
    }
