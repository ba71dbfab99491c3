"""The thresholds of a cascade: between which margins its student is not sure, question by question, and their evidence.

`qaemb.distill.thresholds` chooses them from a calibration sample; here they are read, written and applied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answers
from qaemb.errors import BadInput
from qaemb.files import read_json

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
