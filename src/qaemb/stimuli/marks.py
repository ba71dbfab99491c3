"""Marks around the segment itself inside a text with context: `and then we [[ate soup in]] the kitchen`.

An LLM reads the marks as they are; a trained student splits a text at them into what comes before, the focus, and what
comes after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN, CLOSE = "[[", "]]"

# Marks stand between words: `x[[0]]` is code, not a marked text.
_MARKED = re.compile(r"(?:(?P<before>.*)\s)?\[\[(?P<focus>.*)\]\](?:\s(?P<after>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Parts:
    """A text in three: the context `before`, the `focus` that questions are about, and the context `after`."""

    before: str
    focus: str
    after: str


def join_marked(parts: Parts) -> str:
    """Return one text with the focus between the marks; parts are joined by single spaces, empty context is left out.

    >>> join_marked(Parts("and then we", "ate soup in", "the kitchen"))
    'and then we [[ate soup in]] the kitchen'
    >>> join_marked(Parts("", "", "so"))
    '[[]] so'
    """
    return " ".join(part for part in (parts.before, OPEN + parts.focus + CLOSE, parts.after) if part)


def split_marked(text: str) -> Parts:
    """Return the parts of a text, without spaces at their ends; the inverse of `join_marked`.

    A text without marks is all focus. So is one whose marks are not a single pair of its own: one mark alone, several
    pairs, or marks inside a word.

    >>> split_marked("and then we [[ate soup in]] the kitchen")
    Parts(before='and then we', focus='ate soup in', after='the kitchen')
    >>> split_marked("before words [[]] after words")
    Parts(before='before words', focus='', after='after words')
    >>> split_marked("We ate soup.")
    Parts(before='', focus='We ate soup.', after='')
    >>> split_marked("a [[b]] c [[d]]")
    Parts(before='', focus='a [[b]] c [[d]]', after='')
    """
    match = _MARKED.fullmatch(text) if text.count(OPEN) == text.count(CLOSE) == 1 else None
    if match is None:
        return Parts("", text.strip(), "")
    return Parts((match["before"] or "").strip(), match["focus"].strip(), (match["after"] or "").strip())
