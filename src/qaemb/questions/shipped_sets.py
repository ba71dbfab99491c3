"""The question sets that come with the package: those of data/questions, which `shipped` links to."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from qaemb.errors import BadParameter
from qaemb.questions.bank import load_bank
from qaemb.questions.model import QuestionSet
from qaemb.questions.screening import screen
from qaemb.questions.sets import load_sets
from qaemb.settings import QuestionsSettings

_FOLDER = Path(__file__).with_name("shipped")


@cache
def shipped_sets() -> dict[str, QuestionSet]:
    """Return the sets by name, checked as the stage `questions` checks a bank."""
    accepted, rejected = screen(load_bank(_FOLDER / "bank"), QuestionsSettings().duplicate_similarity)
    return {own.name: own for own in load_sets(_FOLDER / "sets", accepted, rejected)}


def shipped_set(name: str) -> QuestionSet:
    """Return a set; BadParameter lists those there are."""
    sets = shipped_sets()
    if name not in sets:
        raise BadParameter(f"no question set `{name}` comes with qaemb; there are: {', '.join(sets)}")
    return sets[name]
