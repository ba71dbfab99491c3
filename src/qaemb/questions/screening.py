"""Which bank entries become questions: those whose wording passes the checks and that repeat none before them.

A check of the wording returns why it refuses a question, or None. The checks are rules about form, not understanding: a
question that passes can still be a bad one, and a good one that is refused can be reworded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from qaemb.questions.bank import BankEntry, Question, Rejection

_MIN_WORDS = 4
_MAX_WORDS = 25
_MAX_CHARACTERS = 160

_AUXILIARIES = "does|do|did|is|are|was|were|can|could|has|have|had|will|would|should|must|may|might"
# Verbs with which a question about a text makes its claim. After "or" they open a second claim.
_CLAIM_VERBS = (
    "address|answer|ask|break|compare|concern|contain|contrast|convey|create|describe|discuss|draw|explain|express|"
    "give|imply|include|indicate|introduce|involve|list|locate|make|mention|name|offer|portray|present|quote|refer|"
    "repeat|report|reveal|say|set|show|state|stress|suggest|take|talk|tell|use"
)
_SECOND_VERB = re.compile(rf"\b([\w'’]+),?\s+(or\s+(?:else\s+|also\s+)?(?:{_CLAIM_VERBS}))\s+\w")
_SECOND_AUXILIARY = re.compile(rf"(?:\bor|,)\s+(?:{_AUXILIARIES})\s+(?:it|they|the|there|this|someone)\b")
_CONJUNCTION = re.compile(r"\b(?:and|as well as|but also)\b|&")
_BETWEEN = re.compile(rf"\bbetween\s+(?:[\w'’-]+\s+){{1,5}}?and\b(?!\s+(?:{_CLAIM_VERBS})\b)")
_SENTENCE_END = re.compile(r"[?!;:](?=\s|$)|\w{4,}\.(?=\s|$)")  # "Dr. Watson" has no end of a sentence
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")


def _not_a_question(question: Question) -> str | None:
    """Refuse a text that does not end with exactly one question mark, its only end of a sentence."""
    text = _QUOTED.sub("", question.text)
    if not text.endswith("?"):
        return "does not end with `?`"
    if _SENTENCE_END.search(text[:-1]):
        return "is more than one sentence"
    return None


def _not_yes_or_no(question: Question) -> str | None:
    """Refuse a question that does not begin with an auxiliary verb (Does, Is, Can, ...): the answer is no yes or no."""
    first = re.match(r"\w+(?:['’]\w+)?", question.text)
    if first and re.fullmatch(_AUXILIARIES, first.group().lower()):
        return None
    return "does not begin with an auxiliary verb such as Does, Is or Can, so yes and no are not its answers"


def _not_one_proposition(question: Question) -> str | None:
    """Refuse a question that asks two things at once.

    "and" asks for two things to hold together, save in "between A and B"; a slash leaves open which; "or" is refused
    where it joins claims ("mention food or describe a place"), not inside one claim ("heat or cold", "name or
    describe a place").
    """
    text = _QUOTED.sub("", question.text).lower()
    conjunction = _CONJUNCTION.search(_BETWEEN.sub("between", text))
    if conjunction:
        return f"joins propositions with `{conjunction.group()}`; ask one thing"
    if "/" in text:
        return "joins alternatives with `/`; ask one thing"
    second = _second_claim(text)
    return f"joins propositions with `{second}`; ask one thing" if second else None


def _second_claim(text: str) -> str | None:
    auxiliary = _SECOND_AUXILIARY.search(text)
    if auxiliary:
        return auxiliary.group().strip(", ")
    for match in _SECOND_VERB.finditer(text):
        # "name or describe a place": two verbs that share their object are one claim.
        if not re.fullmatch(_CLAIM_VERBS, match.group(1)):
            return match.group(2)
    return None


def _bad_length(question: Question) -> str | None:
    """Refuse fewer than _MIN_WORDS, more than _MAX_WORDS words, or more than _MAX_CHARACTERS characters."""
    words, characters = len(question.text.split()), len(question.text)
    if words < _MIN_WORDS:
        return f"has {words} words; at least {_MIN_WORDS} are needed"
    if words > _MAX_WORDS or characters > _MAX_CHARACTERS:
        return f"has {words} words, {characters} characters; at most {_MAX_WORDS} and {_MAX_CHARACTERS} are allowed"
    return None


def _bad_characters(question: Question) -> str | None:
    """Refuse invisible characters and doubled spaces: they would give the same wording a second identity."""
    if question.text != " ".join(question.text.split()) or not question.text.isprintable():
        return "has a line break, a tab, doubled spaces or another invisible character"
    return None


def _bad_examples(question: Question) -> str | None:
    """Refuse a question without a text that gets a yes and a different one that gets a no."""
    for key in ("yes_example", "no_example"):
        if not getattr(question, key).strip():
            return f"has no `{key}`"
    if question.yes_example.casefold().split() == question.no_example.casefold().split():
        return "has the same text as `yes_example` and `no_example`"
    return None


def _lint(question: Question) -> str | None:
    """Return every reason to refuse a question, joined by "; ", or None."""
    reasons = [reason for check in _LINTS.values() if (reason := check(question))]
    return "; ".join(reasons) or None


_LINTS: dict[str, Callable[[Question], str | None]] = {
    "not_a_question": _not_a_question,
    "not_yes_or_no": _not_yes_or_no,
    "not_one_proposition": _not_one_proposition,
    "bad_length": _bad_length,
    "bad_characters": _bad_characters,
    "bad_examples": _bad_examples,
}


def _normalised(text: str) -> str:
    """Return a text without what makes no other question: case, Unicode form, spacing, the mark at its end."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(plain.split()).rstrip(" ?.!")


def _words_of(text: str) -> frozenset[str]:
    """Return a text's distinct words, lower-case and without punctuation."""
    return frozenset(re.findall(r"\w+", _normalised(text)))


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
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
        reason = _lint(question) or _repeats(question, accepted, similarity)
        if reason:
            rejected.append(Rejection(entry.file, question.name, question.text, reason))
        else:
            accepted[_normalised(question.text)] = (question, _words_of(question.text))
    return [question for question, _ in accepted.values()], rejected


def _repeats(question: Question, accepted: dict[str, tuple[Question, frozenset[str]]], similarity: float) -> str | None:
    same = accepted.get(_normalised(question.text))
    if same:
        return f"has the same text as `{same[0].name}` of the family `{same[0].group}`"
    words = _words_of(question.text)
    for other, other_words in accepted.values():
        overlap = _jaccard(words, other_words)
        if overlap >= similarity:
            return f"is a near-duplicate of `{other.name}` of the family `{other.group}` (word overlap {overlap:.2f})"
    return None
