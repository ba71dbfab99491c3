"""What is published: the manifest, a small file from which the feature store's definitions are built, and versions.

A version is an answerer's answers to the questions of one set. The service of a set, `core`, gives what is published
now. The service of a version, `core_v_0a1b2c3d`, gives the same columns of the same answerer for ever, whatever is
published later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.files import read_json, write_json
from qaemb.identity import json_id
from qaemb.questions import Question

ENTITY = "segment"
ARRAY = "margins"
TIMESTAMP = "event_timestamp"
HISTORY = "history"  # the folder of a feature repository that travels with DVC
_RESERVED = (ENTITY, ARRAY, TIMESTAMP)


@dataclass(frozen=True)
class Manifest:
    """One published matrix.

    `questions` are the columns of the matrix in order (name and text). `sets` are the published question sets by name,
    each an ordered part of the questions. Only an answerer with the key `answerer_key` may add answers.
    `answers_sha256` is the digest of the published margins. `approximates` says which answerer a cascade approximates,
    how well, and how many calls it saved on the matrix (None: not a cascade). BadInput if a question can't be published
    under its name, comes twice, or belongs to a set and has no answers.
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
            if _named_like_a_version(set_name):
                raise BadInput(f"question set `{set_name}` can't be published: versions have such names; rename it")
            absent = [name for name in members if name not in self.names]
            if absent:
                names = ", ".join(f"`{name}`" for name in absent)
                raise BadInput(
                    f"question set `{set_name}` can't be published: job `{self.job}` has no answers to {names}; "
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
        """The short hash of the array's answerer and questions; it is in the names of the array's Feast objects."""
        return _version_id(self.answerer_key, self.questions)

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
        columns = {(question.name, question.text) for question in self.questions}
        needed = {(question.name, question.text) for question in version.questions}
        return version.answerer_key == self.answerer_key and needed <= columns

    def find_version(self, service: str, versions: Sequence[Version]) -> Version:
        """Return the version behind a service: that of a published set, or one of `versions` by its own service.

        BadInput lists what there is.
        """
        if service not in self.sets and _named_like_a_version(service):
            return _find_version(versions, service)
        self.members(service)
        return next(version for version in self.versions if version.set_name == service)

    def members(self, set_name: str) -> tuple[str, ...]:
        """Return the names of a published set's questions, in order; BadInput lists the published sets."""
        if set_name not in self.sets:
            raise BadInput(f"question set `{set_name}` is not published; known are {', '.join(self.sets)}")
        return self.sets[set_name]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    write_json(folder / "manifest.json", _values(manifest))


def read_manifest(repo: Path) -> Manifest | None:
    """Return the manifest of what a feature repository publishes; None if `publish` never ran."""
    path = repo / "data" / "manifest.json"
    if not path.exists():
        return None
    values = read_json(path)
    questions = _questions(values.pop("questions"))
    sets = {name: tuple(members) for name, members in values.pop("sets").items()}
    return Manifest(**values, questions=questions, sets=sets)


def _values(manifest: Manifest) -> dict[str, Any]:
    return {
        "job": manifest.job,
        "answerer": manifest.answerer,
        **({"approximates": manifest.approximates} if manifest.approximates else {}),
        "answerer_key": manifest.answerer_key,
        "answers_sha256": manifest.answers_sha256,
        "questions": _question_values(manifest.questions),
        "sets": {name: list(members) for name, members in manifest.sets.items()},
        **({"ttl_days": manifest.ttl_days} if manifest.ttl_days else {}),
    }


_FILE = "versions.json"
_LENGTH = 8  # hex digits: short enough for a name; two versions of a set with one id have a chance of 1 in 4 billion
_SERVICE = re.compile(r"(?P<set>.+)_v_(?P<version>[0-9a-f]{8})")


def _version_id(answerer_key: str, questions: Sequence[Question]) -> str:
    """Return the short hash of an answerer's key and of names and ids of questions, in their order.

    Names are in it because they are the columns that are served: a renamed question is another version.
    """
    return json_id([answerer_key, *([question.name, question.question_id] for question in questions)])[:_LENGTH]


def _named_like_a_version(name: str) -> bool:
    """Return whether a set's name has the form of a version's service."""
    return _SERVICE.fullmatch(name) is not None


@dataclass(frozen=True)
class Version:
    """One answerer's answers to a set's questions, in order. `answerer` is its name when they were published."""

    set_name: str
    answerer: str
    answerer_key: str
    questions: tuple[Question, ...]

    @property
    def id(self) -> str:
        """Its short hash; sets with the same questions in the same order share it."""
        return _version_id(self.answerer_key, self.questions)

    @property
    def service(self) -> str:
        """The name of its Feast service."""
        return f"{self.set_name}_v_{self.id}"

    @property
    def file(self) -> str:
        """The place in the folder data/ of its table, which exists while the version is not served online."""
        return f"versions/{self.id}.parquet"

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
            questions=_questions(item["questions"]),
        )
        for item in read_json(path)
    )


def add_versions(folder: Path, versions: Sequence[Version]) -> None:
    """Write versions.json with the versions that it has and these; a file that has them all stays as it is."""
    listed = read_versions(folder)
    both = _joined(listed, versions)
    if both != listed or not (folder / _FILE).exists():
        write_json(folder / _FILE, [_version_values(version) for version in both])


def all_versions(repo: Path, *published: Version) -> tuple[Version, ...]:
    """Return every version that a service exists for, the oldest first: of `history/`, of this machine, `published`."""
    return _joined(read_versions(repo / HISTORY), read_versions(repo / "data"), published)


def _joined(*groups: Iterable[Version]) -> tuple[Version, ...]:
    """Return the versions of all groups, each service once, in the order in which they come first."""
    by_service: dict[str, Version] = {}
    for version in chain(*groups):
        by_service.setdefault(version.service, version)
    return tuple(by_service.values())


def _find_version(versions: Sequence[Version], service: str) -> Version:
    """Return the version of a service `SET_v_HASH`; BadInput lists the versions of that set."""
    for version in versions:
        if version.service == service:
            return version
    match = _SERVICE.fullmatch(service)
    set_name = match["set"] if match else service
    services = [version.service for version in versions if version.set_name == set_name]
    raise BadInput(
        f"feature service `{service}` was never published; known of set `{set_name}` are "
        f"{', '.join(services) or 'none'} (`qaemb features --versions` lists all)"
    )


def _questions(values: Iterable[dict[str, str]]) -> tuple[Question, ...]:
    return tuple(Question(item["name"], item["text"]) for item in values)


def _question_values(questions: Iterable[Question]) -> list[dict[str, str]]:
    return [{"name": question.name, "text": question.text} for question in questions]


def _version_values(version: Version) -> dict[str, object]:
    return {
        "version": version.id,
        "set": version.set_name,
        "answerer": version.answerer,
        "answerer_key": version.answerer_key,
        "questions": _question_values(version.questions),
    }
