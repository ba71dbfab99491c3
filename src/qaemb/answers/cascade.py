"""Cascades: a cheap student answers where it is sure, and the teacher answers the rest.

The thresholds of a cascade say, question by question, between which margins the student is not sure. They come with the
evidence for them. `qaemb.distill.cascade` chooses them from a calibration sample; this module reads, writes and applies
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost, Mask
from qaemb.answers.plan import Block, block_inputs, cover
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json
from qaemb.identity import text_id
from qaemb.models.inputs import Progress

Band = tuple[float, float]
"""(low, high), low <= 0 <= high, nats: the student answers a margin <= low or >= high, the teacher one in between."""

ALWAYS_ASK: Band = (-math.inf, math.inf)


@dataclass(frozen=True)
class Evidence:
    """What the calibration showed; agreement is the share of cells answered yes or no as the teacher would.

    With `confidence`, the cascade's agreement over all cells of the questions, on texts like the sample's, is at least
    `target`. `bound` is the lower confidence bound for these thresholds taken alone; thresholds were chosen so that
    it reaches the target. The estimates are from the texts that did not shape the bands: `agreement` of the cascade
    over all cells, `own_agreement` of the student over the cells that it answers (NaN: it answers none),
    `student_agreement` of the student over all cells, `yes_kept` and `no_kept` of the cascade over those cells to which
    the teacher says yes, and no (NaN: there are none), `share_saved` of the cells that the student answers.
    """

    target: float
    confidence: float
    bound: float
    agreement: float
    own_agreement: float
    student_agreement: float
    yes_kept: float
    no_kept: float
    share_saved: float
    n_cells: int
    n_texts: int


@dataclass(frozen=True)
class Thresholds:
    """A band for each question id, `default` for any other, their evidence, and the keys of whom they were made for."""

    bands: Mapping[str, Band]
    evidence: Evidence
    student: str = ""
    teacher: str = ""
    default: Band = ALWAYS_ASK

    def limits(self, question_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the bands of questions as (2, questions): low and high."""
        bands = [self.bands.get(name, self.default) for name in question_ids]
        return np.array(bands, np.float64).reshape(-1, 2).T

    def sure(self, student: Answers, question_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Return where the student answers (texts, questions): outside the band, and with a mass above 0.

        A mass of 0 is how a student abstains. A cell that is NaN is not sure.
        """
        low, high = self.limits(question_ids)
        return outside(student.margin, low, high) & (student.mass > 0)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values; an infinite limit, or an agreement that does not exist, is null."""
        return {
            "student": self.student,
            "teacher": self.teacher,
            "evidence": {name: _or_null(value) for name, value in asdict(self.evidence).items()},
            "default": _plain(self.default),
            "bands": {name: _plain(band) for name, band in self.bands.items()},
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Thresholds:
        """Return what `to_dict` wrote; BadInput says what is missing or wrong. Other keys are left alone."""
        try:
            evidence = Evidence(**{name: _or_nan(value) for name, value in values["evidence"].items()})  # type: ignore[arg-type]
            bands = {name: _band(band) for name, band in values["bands"].items()}
            return Thresholds(bands, evidence, values["student"], values["teacher"], _band(values["default"]))
        except KeyError as error:
            raise BadInput(f"it has no {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"it does not hold thresholds ({error})") from error


def outside(margin: NDArray[np.floating], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a margin is not inside its band; False where it is NaN. Compared in float64."""
    wide = np.asarray(margin, np.float64)
    return (wide <= low) | (wide >= high)


def read_thresholds(path: Path, name: str) -> Thresholds:
    """Return the thresholds of the cascade `name`; BadInput names the file and the command that makes it."""
    way_out = f"make it with `qaemb cascade {name} --agreement 0.95 --segmentation S --set Q --texts N`"
    if not path.exists():
        raise BadInput(f"{path}, the thresholds of cascade `{name}`, does not exist; {way_out}")
    try:
        return Thresholds.from_dict(read_json(path))
    except BadInput as error:
        raise BadInput(f"{path}, the thresholds of cascade `{name}`, can't be used: {error}; {way_out}") from error


def _plain(band: Band) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in band]


def _band(values: Sequence[float | None]) -> Band:
    low, high = values
    band = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if not band[0] <= 0 <= band[1]:
        raise ValueError(f"a band must be low <= 0 <= high, not {list(values)}")
    return band


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


_BLOCK_TEXTS = 256  # texts that the teacher is asked about at once


class CascadeAnswerer(Answerer):
    """An answerer that approximates its teacher; it has no model and no stored cells of its own.

    A cell is the student's where its margin lies outside its question's band (and its mass is above 0), else the
    teacher's: margin and mass as that one gives them. `names` are those of student and teacher in answers.spec.
    """

    engine_name = "cascade"
    in_turn = True

    def __init__(self, student: Answerer, teacher: Answerer, thresholds: Thresholds, names: tuple[str, str]) -> None:
        self.student, self.teacher, self.names = student, teacher, names
        self._thresholds = thresholds
        self._seen = self._saved = 0
        self._last: tuple[tuple[tuple[str, ...], tuple[str, ...]], Answers] | None = None

    @property
    def members(self) -> dict[str, Answerer]:
        """Student and teacher, by name."""
        return dict(zip(self.names, (self.student, self.teacher), strict=True))

    @cached_property
    def thresholds(self) -> Thresholds:
        """The thresholds; BadParameter where they were made for another student or teacher, or these are one."""
        names, keys = self.names, (self.student.key, self.teacher.key)
        if keys[0] == keys[1]:
            raise BadParameter(
                f"student `{names[0]}` and teacher `{names[1]}` of a cascade have one key: they give the same answers, "
                "so that nothing is saved; name two different answerers"
            )
        made_for = (self._thresholds.student, self._thresholds.teacher)
        for role, name, key, expected in zip(("student", "teacher"), names, keys, made_for, strict=True):
            if key != expected:
                raise BadParameter(
                    f"the cascade's thresholds were made for a {role} with key {expected or 'unknown'}, but `{name}` "
                    f"has {key}: what it answers has changed; run `qaemb cascade` again"
                )
        return self._thresholds

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The teacher that it approximates, how well, the thresholds, and both members' keys and specs."""
        values, evidence = self.thresholds.to_dict(), self.thresholds.evidence
        return {
            "family": "cascade",
            "approximates": self.teacher.key,
            "target": evidence.target,
            "confidence": evidence.confidence,
            "thresholds": {"bands": values["bands"], "default": values["default"]},
            "student": {"key": self.student.key, "spec": self.student.spec},
            "teacher": {"key": self.teacher.key, "spec": self.teacher.spec},
        }

    @property
    def claim(self) -> str:
        """What it is, for a user: whom it approximates, at which agreement and confidence."""
        evidence = self.thresholds.evidence
        return (
            f"approximates `{self.names[1]}`: at least {evidence.target:.6g} of the cells are answered yes or no as it "
            f"would, with confidence {evidence.confidence:.6g}"
        )

    @property
    def figures(self) -> dict[str, float]:
        """Cells answered since it was built, calls of the teacher saved, and the members' figures by their names."""
        members = self.members.items()
        figures = {f"{name}.{figure}": value for name, member in members for figure, value in member.figures.items()}
        return figures if self._seen == 0 else figures | self.savings(self._seen, self._saved)

    def savings(self, n_cells: int, n_saved: int) -> dict[str, float]:
        """Return the figures of so many cells: what it approximates, how well, and the calls saved (one a cell)."""
        evidence, teacher = self.thresholds.evidence, self.names[1]
        return {
            f"approximates.{teacher}.agreement": evidence.target,
            f"approximates.{teacher}.confidence": evidence.confidence,
            "cells": n_cells,
            "calls_saved": n_saved,
            "share_saved": round(n_saved / n_cells, 6),
        }

    def approximation(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """Return whom it approximates, how well, how many calls it saves, and all of it in the sentence `claim`."""
        evidence, n_saved = self.thresholds.evidence, int(figures["calls_saved"])
        return {
            "answerer": self.names[1],
            "key": self.teacher.key,
            "agreement": evidence.target,
            "confidence": evidence.confidence,
            "calls_saved": n_saved,
            "share_saved": figures["share_saved"],
            "claim": f"{self.claim}; {saved_text(int(figures['cells']), n_saved)}",
        }

    def open_cells(self, cells: Sequence[Answers], questions: Sequence[str]) -> Mask:
        """Return where the student's answers do not stand; so where they are NaN."""
        return ~self.thresholds.sure(cells[0], [text_id(question) for question in questions])

    def combine(self, cells: Sequence[Answers], questions: Sequence[str]) -> Answers:
        """Return the student's cells where it is sure, the teacher's elsewhere; NaN where the student's are."""
        student, teacher = cells
        open_cells = self.open_cells(cells, questions) & ~np.isnan(student.margin)
        return Answers(
            np.where(open_cells, teacher.margin, student.margin), np.where(open_cells, teacher.mass, student.mass)
        )

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the cost of the student's cells and of the teacher's.

        The student has to answer for it, which takes little time; `answer` uses its answers again.
        """
        student = self.student.cost(texts, questions)
        open_cells = self.open_cells([self._student_answers(texts, questions)], questions)
        blocks = self._blocks(texts, questions, open_cells)
        costs = [self.teacher.cost(*block_inputs(texts, questions, block)) for block in blocks]
        prices = [cost.usd for cost in (student, *costs) if cost.usd is not None]
        # Several blocks may hold one text that the teacher cuts; counted over whole rows it counts once.
        rows = [texts[row] for row in np.flatnonzero(open_cells.any(axis=1))]
        n_cut = max(student.n_cut, self.teacher.cost(rows, questions).n_cut if rows else 0)
        return Cost(student.tokens + sum(cost.tokens for cost in costs), n_cut, sum(prices) if prices else None)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return the student's answers where it is sure, the teacher's elsewhere."""
        student = self._student_answers(texts, questions)
        open_cells = self.open_cells([student], questions)
        n_saved = open_cells.size - int(open_cells.sum())
        if progress and n_saved:
            progress(n_saved)
        teacher = Answers(np.full_like(student.margin, np.nan), np.full_like(student.mass, np.nan))
        for block in self._blocks(texts, questions, open_cells):
            answers = self.teacher.answer(*block_inputs(texts, questions, block), progress)
            cells = np.ix_(block.rows, block.columns)
            teacher.margin[cells], teacher.mass[cells] = answers.margin, answers.mass
        self._seen, self._saved = self._seen + open_cells.size, self._saved + n_saved
        return self.combine([student, teacher], questions)

    def _blocks(self, texts: Sequence[str], questions: Sequence[str], cells: Mask) -> Sequence[Block]:
        return cover(self.teacher, texts, questions, cells, _BLOCK_TEXTS)

    def _student_answers(self, texts: Sequence[str], questions: Sequence[str]) -> Answers:
        """Return the student's answers; the last ones are kept, as both `cost` and `answer` need them."""
        grid = (tuple(texts), tuple(questions))
        if self._last is None or self._last[0] != grid:
            self._last = (grid, self.student.answer(texts, questions))
        return self._last[1]


def saved_text(n_cells: int, n_saved: int) -> str:
    """Return the saved calls in words.

    >>> saved_text(5000, 3800)
    '3,800 of 5,000 calls saved (76.0 %)'
    """
    return f"{n_saved:,} of {n_cells:,} calls saved ({100 * n_saved / n_cells:.1f} %)"
