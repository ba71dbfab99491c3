"""Texts with a label each, for classification and clustering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput

TRAIN, TEST = "train", "test"
_SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class Row:
    """One labelled text. `place`: its file and line; `split` "", "train" or "test"; `group` "" where there is none."""

    place: str
    text: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Labelled:
    """Texts, each once, and what is known of them, row by row.

    `split`: "train" or "test" for each text, or empty: there is no given split. `group`: texts of one group (a film, a
    speaker) never stand on both sides of a fold; empty: each text is for itself.
    """

    texts: list[str]
    label: list[str]
    split: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The labels, in alphabetical order."""
        return sorted(set(self.label))

    @property
    def codes(self) -> NDArray[np.int64]:
        """The number of each text's label in `classes`, (texts,)."""
        number = {name: code for code, name in enumerate(self.classes)}
        return np.array([number[label] for label in self.label], np.int64)

    @property
    def units(self) -> NDArray[np.int64]:
        """What is drawn or held out as one, (texts,): the number of the group, or of the text itself."""
        if not self.group:
            return np.arange(len(self.texts))
        return np.unique(self.group, return_inverse=True)[1].astype(np.int64)


def collect(rows: Iterable[Row], source: str, drop_conflicts: bool = False) -> Labelled:
    """Return the texts of checked rows; of a text that stands there again with the same label the first row counts.

    BadInput names both rows of a text with two labels (with `drop_conflicts` all its rows are left out instead), an
    empty text or label, a split that is neither train nor test or lacks one of the two, and a single class.
    """
    kept: dict[str, Row] = {}
    conflicting: set[str] = set()
    for row in rows:
        _check(row)
        before = kept.setdefault(row.text, row)
        if before.label != row.label:
            if not drop_conflicts:
                raise BadInput(
                    f"{row.place}: `{row.text[:_SHOWN]}` has the label `{row.label}`, and `{before.label}` in "
                    f"{before.place}; leave one of the two rows out"
                )
            conflicting.add(row.text)
    own = [row for text, row in kept.items() if text not in conflicting]
    _check_all(own, source)
    return Labelled(
        [row.text for row in own],
        [row.label for row in own],
        [row.split for row in own if row.split],
        [row.group for row in own if row.group],
    )


def _check(row: Row) -> None:
    if not row.text.strip():
        raise BadInput(f"{row.place}: the text is empty; fill it in or leave the row out")
    if not row.label.strip():
        raise BadInput(f"{row.place}: the label is empty; fill it in or leave the row out")
    if row.split not in ("", TRAIN, TEST):
        raise BadInput(f"{row.place}: split `{row.split}` is neither `{TRAIN}` nor `{TEST}`")


def _check_all(rows: list[Row], source: str) -> None:
    classes = Counter(row.label for row in rows)
    if len(classes) < 2:
        raise BadInput(f"{source} has {len(rows)} texts with {len(classes)} label(s); a task needs two or more labels")
    for name in ("split", "group"):
        lacking = [row for row in rows if not getattr(row, name)]
        if lacking and len(lacking) < len(rows):
            raise BadInput(f"{lacking[0].place}: {name} is empty, but other rows have one; fill it in everywhere")
    splits = {row.split for row in rows} - {""}
    if len(splits) == 1:
        lacks = TEST if TRAIN in splits else TRAIN
        raise BadInput(f"{source} has no text with the split `{lacks}`; give some, or leave the column `split` out")
    if splits:
        _check_test(rows)


def _check_test(rows: list[Row]) -> None:
    """Raise BadInput for a test text whose label or whose group's other side makes the test worthless."""
    train = [row for row in rows if row.split == TRAIN]
    labels, groups = {row.label for row in train}, {row.group for row in train} - {""}
    for row in rows:
        if row.label not in labels:
            raise BadInput(f"{row.place}: no train text has the label `{row.label}`; nothing can learn it")
        if row.split == TEST and row.group in groups:
            raise BadInput(f"{row.place}: group `{row.group}` has train texts, too; keep a group on one side")
