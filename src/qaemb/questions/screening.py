"""Which bank entries become questions: those that pass the lint and repeat none before them."""

from __future__ import annotations

import re
import unicodedata

from qaemb.questions.lint import lint
from qaemb.questions.model import BankEntry, Question, Rejection


def normalised(text: str) -> str:
    """Return a text without what makes no other question: case, Unicode form, spacing, the mark at its end."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(plain.split()).rstrip(" ?.!")


def words_of(text: str) -> frozenset[str]:
    """Return a text's distinct words, lower-case and without punctuation."""
    return frozenset(re.findall(r"\w+", normalised(text)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Return the shared words of two texts as a part of all their words, 0 to 1; two empty sets share nothing."""
    return len(first & second) / len(first | second) if first or second else 0.0


def screen(entries: list[BankEntry], similarity: float) -> tuple[list[Question], list[Rejection]]:
    """Split bank entries into questions and rejections, both in the entries' order.

    An entry is rejected for its wording, or because its text equals an accepted one up to case, spacing and end, or
    shares at least `similarity` (0 to 1, Jaccard) of the distinct words with one. Of two that are too alike the first
    stays. Words are compared without their order: two questions of the same words count as alike whatever they mean.
    """
    accepted: dict[str, tuple[Question, frozenset[str]]] = {}  # by normalised text
    rejected: list[Rejection] = []
    for entry in entries:
        question = entry.question
        reason = lint(question) or _repeats(question, accepted, similarity)
        if reason:
            rejected.append(Rejection(entry.file, question.name, question.text, reason))
        else:
            accepted[normalised(question.text)] = (question, words_of(question.text))
    return [question for question, _ in accepted.values()], rejected


def _repeats(question: Question, accepted: dict[str, tuple[Question, frozenset[str]]], similarity: float) -> str | None:
    same = accepted.get(normalised(question.text))
    if same:
        return f"has the same text as `{same[0].name}` of the family `{same[0].group}`"
    words = words_of(question.text)
    for other, other_words in accepted.values():
        overlap = jaccard(words, other_words)
        if overlap >= similarity:
            return f"is a near-duplicate of `{other.name}` of the family `{other.group}` (word overlap {overlap:.2f})"
    return None
