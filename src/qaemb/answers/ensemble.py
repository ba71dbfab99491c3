"""Ensembles: several answerers as one that answers every cell with the mean of what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost
from qaemb.errors import BadParameter
from qaemb.models.inputs import Progress

Combine = Literal["mean_margin", "mean_probability"]

_ROWS = 1024  # texts combined at once: bounds the float64 copies of a large grid


class EnsembleAnswerer(Answerer):
    """An answerer whose cell is the mean of its members' cells; it has no model and no stored cells of its own."""

    engine_name = "ensemble"

    def __init__(self, members: Mapping[str, Answerer], rule: Combine) -> None:
        if len(members) < 2:
            raise BadParameter("an ensemble needs two or more members")
        self.rule = rule
        self._members = members

    @cached_property
    def members(self) -> dict[str, Answerer]:
        """The members by name, in the order of their keys, so that how they are listed moves no answer.

        BadParameter where two have one key: they answer alike, and one of them would count twice.
        """
        by_key = sorted(self._members.items(), key=lambda item: item[1].key)
        for (first, one), (second, other) in pairwise(by_key):
            if one.key == other.key:
                raise BadParameter(
                    f"members `{first}` and `{second}` of an ensemble have one key: they give the same answers, which "
                    "would count twice; remove one of them"
                )
        return dict(by_key)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """How answers are combined, and each member's key and spec."""
        members = [{"key": member.key, "spec": member.spec} for member in self.members.values()]
        return {"family": "ensemble", "combine": self.rule, "members": members}

    @property
    def figures(self) -> dict[str, float]:
        """What the members measured, as `MEMBER.FIGURE`."""
        return {
            f"{name}.{figure}": value
            for name, member in self.members.items()
            for figure, value in member.figures.items()
        }

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of all members together, and the texts that the member with the least room cuts."""
        costs = [member.cost(texts, questions) for member in self.members.values()]
        prices = [cost.usd for cost in costs if cost.usd is not None]
        tokens, n_cut = sum(cost.tokens for cost in costs), max(cost.n_cut for cost in costs)
        return Cost(tokens, n_cut, sum(prices) if prices else None)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return the combination of the members' answers, which are asked one after the other."""
        report = _shared(progress, len(self.members)) if progress else None
        cells = [member.answer(texts, questions, report) for member in self.members.values()]
        return self.combine(cells, questions)

    def combine(self, cells: Sequence[Answers], questions: Sequence[str]) -> Answers:
        """Return the members' answers combined by the ensemble's rule."""
        return _combined(cells, self.rule)


def _combined(parts: Sequence[Answers], rule: Combine) -> Answers:
    """Return the cell-wise combination of answers of one shape; a cell that is NaN in any of them is NaN.

    `mean_margin` is the mean of the margins, `mean_probability` the log-odds of the mean of P(yes); the mass is the
    mean of the masses.
    """
    margin, mass = np.empty_like(parts[0].margin), np.empty_like(parts[0].mass)
    for start in range(0, len(margin), _ROWS):
        rows = slice(start, start + _ROWS)
        margin[rows] = _MARGINS[rule](np.stack([part.margin[rows] for part in parts], dtype=np.float64))
        mass[rows] = np.stack([part.mass[rows] for part in parts], dtype=np.float64).mean(axis=0)
    return Answers(margin, mass)


def _mean_margin(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    return margins.mean(axis=0)


def _logit_of_mean(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the sum of P(yes) minus log of the sum of P(no): their logs stay finite where they themselves are 0."""
    with np.errstate(invalid="ignore"):  # NaN where a member has no cell
        log_yes, log_no = -np.logaddexp(0.0, -margins), -np.logaddexp(0.0, margins)
        return np.logaddexp.reduce(log_yes, axis=0) - np.logaddexp.reduce(log_no, axis=0)


_MARGINS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean_margin": _mean_margin,
    "mean_probability": _logit_of_mean,
}


def _shared(progress: Progress, n_members: int) -> Progress:
    """Return what members report to: a cell counts as finished once for all of them, not once each."""
    n_seen = n_reported = 0

    def advance(n_cells: int) -> None:
        nonlocal n_seen, n_reported
        n_seen += n_cells
        n_new = n_seen // n_members - n_reported
        n_reported += n_new
        if n_new:
            progress(n_new)

    return advance
