"""A teacher's answers as cells to learn from: those of an answers job, or those that a data set publishes per TR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.distill.cells import TeacherCells
from qaemb.errors import BadInput
from qaemb.validation.calibration import probability


def job_cells(
    margin: pd.DataFrame,
    mass: pd.DataFrame,
    questions: Sequence[str],
    segments: pd.DataFrame,
    occurrences: pd.DataFrame,
) -> TeacherCells:
    """Return a job's answers as cells: a row per segment and story, labels P(yes).

    `margin` and `mass`: `segment_id` and a column per question, in the order of `questions` (texts); `segments`:
    `segment_id`, `text`; `occurrences`: `story`, `segment_id`. A cell of mass 0 (an abstention) is not known.
    """
    places = occurrences[["story", "segment_id"]].drop_duplicates()
    rows = pd.Index(margin["segment_id"]).get_indexer(pd.Index(places["segment_id"]))
    texts = segments.set_index("segment_id")["text"]
    if (rows < 0).any():
        lacking = places["segment_id"].to_numpy()[rows < 0][0]
        raise BadInput(f"segment {lacking} has no row in the teacher's matrix; run the stage `answers` again")
    values = margin.drop(columns="segment_id").to_numpy(np.float64)[rows]
    known = mass.drop(columns="segment_id").to_numpy(np.float64)[rows] > 0
    return TeacherCells(
        texts=texts.loc[places["segment_id"]].tolist(),
        questions=list(questions),
        labels=probability(values).astype(np.float32),
        known=known,
        groups=places["story"].tolist(),
    )


def published_cells(
    questions: Sequence[str],
    labels: Mapping[str, NDArray[np.floating]],
    segments: pd.DataFrame,
    occurrences: pd.DataFrame,
) -> TeacherCells:
    """Return published answers as cells: a row per occurrence of a segmentation of kind `tr`.

    `labels`: story -> (n_trs, questions) in [0, 1]; `occurrences`: `story`, `index` (the row of `labels`),
    `segment_id`. A TR without words in its segment has no text and gives no row. BadInput if a row lies outside.
    """
    texts = segments.set_index("segment_id")["text"]
    found, stories, rows = [], [], []
    for story, own in occurrences.groupby("story", sort=False):
        name, index = str(story), own["index"].to_numpy()
        if name not in labels:
            raise BadInput(f"story {name} has segments but no published answers; leave it out of the data set")
        if len(index) and index.max() >= len(labels[name]):
            raise BadInput(
                f"story {name} has {len(labels[name])} rows of published answers, but a segment stands in row "
                f"{index.max()}; run `dvc repro`"
            )
        found += texts.loc[own["segment_id"]].tolist()
        stories += [name] * len(index)
        rows.append(np.asarray(labels[name])[index])
    values = np.vstack(rows).astype(np.float32)
    return TeacherCells(found, list(questions), values, np.ones(values.shape, bool), stories)


def in_own_words(cells: TeacherCells, taught: Mapping[str, Sequence[str]]) -> TeacherCells:
    """Return the cells of the student's own questions, each made from the teacher's questions that ask for it.

    The label is the largest among the known ones: with several, a yes to any is a yes. BadInput names a question that
    the teacher was not asked.
    """
    place = {question: column for column, question in enumerate(cells.questions)}
    labels, known = [], []
    for question, sources in taught.items():
        lacking = [source for source in sources if source not in place]
        if lacking or not sources:
            raise BadInput(
                f"`{question}` is to be learnt from a question that the teacher was not asked; correct the map"
            )
        columns = [place[source] for source in sources]
        asked = cells.known[:, columns]
        labels.append(np.where(asked, cells.labels[:, columns], 0.0).max(axis=1))
        known.append(asked.any(axis=1))
    return TeacherCells(
        cells.texts, list(taught), np.stack(labels, 1).astype(np.float32), np.stack(known, 1), cells.groups
    )
