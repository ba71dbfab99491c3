"""One version of a job's answers, whole or a sample, as the comparison reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from qaemb.questions import Question
from qaemb.validation.rules import Matrix

KEY = "segment_id"


@dataclass(frozen=True)
class Origin:
    """Where answers are from; `key` is the answerer's, `n_segments` and the digests are of the whole matrix."""

    dataset: str
    job: str
    answerer: str
    key: str
    segmentation: str
    question_set: str
    n_segments: int
    answers_sha256: str
    mass_sha256: str


@dataclass(frozen=True, eq=False)
class Version:
    """Answers to `questions`: `margin` and `mass` have `segment_id` and a float32 column per question, by name.

    `texts` has the words of segments by id; segments may lack there.
    """

    origin: Origin
    questions: Sequence[Question]
    margin: pd.DataFrame
    mass: pd.DataFrame
    texts: Mapping[str, str] = field(default_factory=dict)


def is_whole(matrix: Matrix) -> bool:
    """Return whether a matrix has every cell of its job once, all finite: only then it can be compared."""
    columns = [KEY, *matrix.questions]
    return all(
        list(table.columns) == columns
        and table[KEY].tolist() == matrix.segment_ids
        and table[KEY].is_unique
        and bool(np.isfinite(table[matrix.questions].to_numpy(np.float64)).all())
        for table in (matrix.margin, matrix.mass)
    )


def sampled(version: Version, n: int) -> Version:
    """Return a version of its `n` segments with the smallest ids, in their order.

    An id is a hash, so these are a random sample, and two versions of the same texts keep the same ones.
    """
    kept = sorted(version.margin[KEY])[:n]
    tables = [table.set_index(KEY).loc[kept].reset_index() for table in (version.margin, version.mass)]
    texts = {key: version.texts[key] for key in kept if key in version.texts}
    return Version(version.origin, version.questions, tables[0], tables[1], texts)
