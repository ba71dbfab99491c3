"""What is published: a small file beside the feature store from which its definitions are built."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput
from qaemb.files import read_json, write_json
from qaemb.questions import Question
from qaemb.serving.versions import Version, named_like_a_version, version_id

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
