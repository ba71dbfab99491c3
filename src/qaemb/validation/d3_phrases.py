"""Turning D3's task descriptions ("contains irony") into yes/no questions."""

from __future__ import annotations

from pathlib import Path

import yaml

from qaemb.errors import BadInput

# Only verbs that are listed: a rule that takes any word in -s for a verb would ask "Does the text sport news?".
_BARE = {
    "argues": "argue",
    "asks": "ask",
    "believes": "believe",
    "compares": "compare",
    "contains": "contain",
    "criticizes": "criticize",
    "defines": "define",
    "describes": "describe",
    "discusses": "discuss",
    "explains": "explain",
    "expresses": "express",
    "favors": "favor",
    "gives": "give",
    "has": "have",
    "includes": "include",
    "insults": "insult",
    "involves": "involve",
    "mentions": "mention",
    "opposes": "oppose",
    "provides": "provide",
    "refers": "refer",
    "reports": "report",
    "requests": "request",
    "shows": "show",
    "suggests": "suggest",
    "supports": "support",
    "talks": "talk",
    "thinks": "think",
    "uses": "use",
}


def question_of(phrase: str) -> str | None:
    """Return the question that asks whether a phrase holds of the text; None where no rule fits.

    Two rules: "is X" gives "Is the text X?"; a listed verb in the third person gives "Does the text VERB ...?". What
    follows stays as it is, so a clumsy phrase gives a clumsy question.

    >>> question_of("contains irony")
    'Does the text contain irony?'
    >>> question_of("is about sports")
    'Is the text about sports?'
    """
    first, _, rest = phrase.strip().rstrip(".?").partition(" ")
    if not rest.strip():
        return None
    if first.lower() == "is":
        return f"Is the text {rest.strip()}?"
    bare = _BARE.get(first.lower())
    return f"Does the text {bare} {rest.strip()}?" if bare else None


def read_questions(path: Path) -> dict[str, str]:
    """Return the hand table of a YAML file: a question for each phrase; BadInput names the file and the entry."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path} can't be read ({error.strerror}); give a YAML file with lines `phrase: question`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or not values:
        raise BadInput(f"{path}: expected lines `phrase: question`")
    for phrase, question in values.items():
        if not (isinstance(phrase, str) and isinstance(question, str) and question.strip().endswith("?")):
            raise BadInput(f"{path}: {phrase!r}: expected a question that ends in `?`, not {question!r}")
    return {phrase.strip(): question.strip() for phrase, question in values.items()}
