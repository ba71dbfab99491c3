"""From the log-probabilities that a server returns to margin and mass. Pure; knows nothing of HTTP.

A server that can't be asked for given tokens returns the k most likely ones, and a label may not be among them. Then
its probability is at most the smallest one returned, and at most what the returned ones leave. So:

- a side (yes or no) of which no token was returned takes that bound as its log-probability; the cell is `bounded`;
- where neither side was returned the margin is 0: the model was not answering, which is not a no; `unanswered`;
- the mass counts returned tokens alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from qaemb.answers.prompts import Prompt
from qaemb.answers.rendering import Labels
from qaemb.errors import BadInput

_ROUNDING = 1e-3
LogProb = Annotated[float, Field(allow_inf_nan=False, le=_ROUNDING)]
"""A log-probability in a reply; what is above 0 is a logit."""

_NEVER = -9999.0  # what OpenAI and vLLM write for "next to impossible"
_LEAST = float(np.finfo(np.float32).eps)  # what 1 - sum of probabilities can't tell from 0
_SPACES = ("", " ", "Ġ", "▁")  # before a word: nothing, a space, or the space of a raw vocabulary


@dataclass(frozen=True)
class LabelTokens:
    """How the tokens of yes and of no are written in a reply."""

    yes: frozenset[str]
    no: frozenset[str]


@dataclass(frozen=True)
class Cell:
    """Margin and mass of one cell; `n_sides` of 2 says that both labels were returned, 1 bounded, 0 unanswered."""

    margin: float
    mass: float
    n_sides: int


@dataclass
class Tally:
    """What an answerer counts since it was built: cells, and requests sent with those that were sent again."""

    cells: int = 0
    bounded: int = 0
    unanswered: int = 0
    requests: int = 0
    retries: int = 0

    def add(self, cells: Iterable[Cell]) -> None:
        """Count cells."""
        for cell in cells:
            self.cells += 1
            self.bounded += cell.n_sides == 1
            self.unanswered += cell.n_sides == 0

    def figures(self) -> dict[str, float]:
        """Return the shares of bounded and unanswered cells (0 where there are no cells), requests and retries."""
        total = max(1, self.cells)
        return {
            "share_bounded": self.bounded / total,
            "share_unanswered": self.unanswered / total,
            "requests": self.requests,
            "retries": self.retries,
        }


def tokens_by_id(labels: Labels) -> LabelTokens:
    """Return the labels as vLLM writes token ids: `token_id:5`."""
    return LabelTokens(frozenset(map(_by_id, labels.yes)), frozenset(map(_by_id, labels.no)))


def tokens_by_word(prompt: Prompt) -> LabelTokens:
    """Return the spellings of the labels that `rendering.find_labels` looks for; BadInput if two are the same."""
    tokens = LabelTokens(_spellings(prompt.yes_label), _spellings(prompt.no_label))
    if tokens.yes & tokens.no:
        raise BadInput(f"labels `{prompt.yes_label}` and `{prompt.no_label}` are the same word")
    return tokens


def read_cell(returned: Iterable[tuple[str, float]], labels: LabelTokens) -> Cell:
    """Return the cell for the tokens that a server returned with their log-probabilities.

    ValueError if their probabilities add up to more than 1.
    """
    tokens = [(token, logprob) for token, logprob in returned if logprob > _NEVER]
    total = sum(float(np.exp(logprob)) for _, logprob in tokens)
    if total > 1 + 10 * _ROUNDING:
        raise ValueError(f"the probabilities add up to {total:.3f}")
    yes = [logprob for token, logprob in tokens if token in labels.yes]
    no = [logprob for token, logprob in tokens if token in labels.no]
    sides = [np.logaddexp.reduce(side) for side in (yes, no) if side]
    if not sides:
        return Cell(margin=0.0, mass=0.0, n_sides=0)
    bound = min(*(logprob for _, logprob in tokens), float(np.log(max(1 - total, _LEAST))))
    of_yes, of_no = (float(np.logaddexp.reduce(side)) if side else bound for side in (yes, no))
    mass = min(1.0, float(np.exp(sides).sum()))
    return Cell(margin=of_yes - of_no, mass=mass, n_sides=len(sides))


def _by_id(token_id: int) -> str:
    return f"token_id:{token_id}"


def _spellings(label: str) -> frozenset[str]:
    words = {label, label.lower(), label.upper(), label.capitalize()}
    return frozenset(space + word for space in _SPACES for word in words)
