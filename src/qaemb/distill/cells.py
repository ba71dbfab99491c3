"""A teacher's cells, from which students learn: those of an answers job, or those that a data set publishes per TR.

Cells are split by whole stories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput, BadParameter
from qaemb.stats import probability

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TeacherCells:
    """A teacher's answers to Q questions about T texts, hard (0 or 1) or soft (its probability of yes).

    `labels` float32 (T, Q) in [0, 1] and `known` bool (T, Q): where the teacher was asked; other labels are never
    looked at, but must be in range, too. `groups` (T,): the story of each text, the unit of every split. A text may
    occur more than once, a question may not. BadInput says which text, question, story or cell is wrong.
    """

    texts: list[str]
    questions: list[str]
    labels: NDArray[np.float32]
    known: NDArray[np.bool_]
    groups: list[str]

    def __post_init__(self) -> None:
        _check_strings("text", self.texts)
        _check_strings("question", self.questions)
        repeated = sorted({question for question in self.questions if self.questions.count(question) > 1})
        if repeated:
            raise BadInput(f"question `{repeated[0]}` is listed twice; list it once")
        if len(self.groups) != len(self.texts):
            raise BadInput(f"{len(self.texts)} texts have {len(self.groups)} stories; give the story of each text")
        _check_strings("story of text", self.groups)
        shape = (len(self.texts), len(self.questions))
        for name, values, kind in (("labels", self.labels, np.float32), ("known", self.known, np.bool_)):
            if values.shape != shape or values.dtype != kind:
                raise BadInput(
                    f"{name} are {values.dtype} {values.shape}; {len(self.texts)} texts and {len(self.questions)} "
                    f"questions need {np.dtype(kind)} {shape}"
                )
        wrong = np.argwhere(~((self.labels >= 0) & (self.labels <= 1)))
        if len(wrong):
            row, column = wrong[0]
            raise BadInput(
                f"the label of text number {row}, question number {column}, is {self.labels[row, column]}, not in "
                "[0, 1]; give a probability of yes, and where there is none give 0 and set `known` to false"
            )

    def rows(self, rows: NDArray[np.integer]) -> TeacherCells:
        """Return the cells of some texts, in the order of their numbers."""
        return TeacherCells(
            [self.texts[row] for row in rows],
            self.questions,
            self.labels[rows],
            self.known[rows],
            [self.groups[row] for row in rows],
        )

    def columns(self, columns: NDArray[np.integer]) -> TeacherCells:
        """Return the cells of some questions, in the order of their numbers."""
        questions = [self.questions[column] for column in columns]
        return TeacherCells(self.texts, questions, self.labels[:, columns], self.known[:, columns], self.groups)

    def stories(self, names: Sequence[str]) -> TeacherCells:
        """Return the cells of some stories, in the order of the texts; BadInput names a story that has no text."""
        unknown = sorted(set(names) - set(self.groups))
        if unknown:
            raise BadInput(f"no text is of story {unknown[0]}; there are {', '.join(sorted(set(self.groups)))}")
        selected = set(names)
        return self.rows(np.flatnonzero([group in selected for group in self.groups]))


def split_groups(groups: Sequence[str], held_out_share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the numbers of the texts to train on and of those held out, both ascending, by whole stories.

    The share is one of stories, rounded, at least one and not all. The split depends on the names of the stories and
    on the seed, not on the order of the texts. BadInput with fewer than two stories.
    """
    if not 0 < held_out_share < 1:
        raise BadParameter(f"held_out_share is {held_out_share}; give a share of the stories between 0 and 1")
    names = sorted(set(groups))
    if len(names) < 2:
        raise BadInput(f"{len(names)} stories can't be split into train and held-out stories; give at least two")
    n_held_out = min(max(1, round(held_out_share * len(names))), len(names) - 1)
    held_out_names = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:n_held_out]}
    held_out = np.array([group in held_out_names for group in groups])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _check_strings(kind: str, values: Sequence[str]) -> None:
    if len(values) == 0:
        raise BadInput(f"there is no {kind}; give at least one")
    for number, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{kind} number {number} is empty or not a string; correct or remove it")


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
        missing = places["segment_id"].to_numpy()[rows < 0][0]
        raise BadInput(f"segment {missing} has no row in the teacher's matrix; run the stage `answers` again")
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
    text_rows, stories, rows = [], [], []
    for story, part in occurrences.groupby("story", sort=False):
        name, index = str(story), part["index"].to_numpy()
        if name not in labels:
            raise BadInput(f"story {name} has segments but no published answers; leave it out of the data set")
        if len(index) and index.max() >= len(labels[name]):
            raise BadInput(
                f"story {name} has {len(labels[name])} rows of published answers, but a segment stands in row "
                f"{index.max()}; run `dvc repro`"
            )
        text_rows += texts.loc[part["segment_id"]].tolist()
        stories += [name] * len(index)
        rows.append(np.asarray(labels[name])[index])
    values = np.vstack(rows).astype(np.float32)
    return TeacherCells(text_rows, list(questions), values, np.ones(values.shape, bool), stories)


def in_student_words(cells: TeacherCells, taught: Mapping[str, Sequence[str]]) -> TeacherCells:
    """Return the cells of the student's questions, each made from the teacher's questions that mean the same.

    The label is the largest among the known ones: with several, a yes to any is a yes. BadInput names a question that
    the teacher was not asked.
    """
    place = {question: column for column, question in enumerate(cells.questions)}
    labels, known = [], []
    for question, sources in taught.items():
        missing = [source for source in sources if source not in place]
        if missing or not sources:
            raise BadInput(
                f"`{question}` is to be learnt from a question that the teacher was not asked; correct the map"
            )
        columns = [place[source] for source in sources]
        is_known = cells.known[:, columns]
        labels.append(np.where(is_known, cells.labels[:, columns], 0.0).max(axis=1))
        known.append(is_known.any(axis=1))
    return TeacherCells(
        cells.texts, list(taught), np.stack(labels, 1).astype(np.float32), np.stack(known, 1), cells.groups
    )
