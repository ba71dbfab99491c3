"""What a question and a question set are."""

from __future__ import annotations

from dataclasses import dataclass

from qaemb.identity import text_id


@dataclass(frozen=True)
class Question:
    """One yes/no question about a text.

    `name` is its short readable name (a column's name), `group` its family in the bank, `property_id` the gold
    property that it asks for, if any. The two examples are texts that should get a yes and a no.
    """

    name: str
    text: str
    group: str = ""
    provenance: str = ""
    yes_example: str = ""
    no_example: str = ""
    property_id: str | None = None

    @property
    def question_id(self) -> str:
        """The question's identity: the hash of its text alone, so renaming or moving it costs no new answers."""
        return text_id(self.text)


@dataclass(frozen=True)
class QuestionSet:
    """A named, ordered list of questions, none of them twice."""

    name: str
    questions: tuple[Question, ...]
    description: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the questions, in order."""
        return tuple(question.name for question in self.questions)


@dataclass(frozen=True)
class BankEntry:
    """A question as it stands in a bank file, before any check of its wording. `file` is relative to the bank."""

    question: Question
    file: str


@dataclass(frozen=True)
class Rejection:
    """A bank entry that the checks refused, and why."""

    file: str
    name: str
    text: str
    reason: str
