"""Texts with a label each, for classification and clustering.

Who is trained on and who is tested: the given split, or repeated stratified folds; and folds inside the former.
"""

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


Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows to fit on and rows to test on, of one repeat."""

    train: Rows
    test: Rows
    repeat: int = 0


def outer_splits(labelled: Labelled, n_folds: int, n_repeats: int, seed: int) -> list[Split]:
    """Return the data set's own split, or `n_folds` folds, stratified by label, `n_repeats` times.

    BadInput if a label has fewer texts (or all its texts fewer groups) than there are folds.
    """
    if labelled.split:
        split = np.array(labelled.split)
        return [Split(np.flatnonzero(split == TRAIN), np.flatnonzero(split == TEST))]
    everyone = np.arange(len(labelled.texts))
    return [
        Split(train, test, repeat)
        for repeat in range(n_repeats)
        for train, test in folds(labelled, everyone, n_folds, seed + repeat)
    ]


def folds(labelled: Labelled, rows: Rows, n_folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Return (train, test) rows for each of `n_folds` folds of `rows`; a group is on one side only. Errors as above."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    codes, units = labelled.codes[rows], labelled.units[rows]
    _check_folds(labelled, codes, units, n_folds)
    kind = StratifiedGroupKFold if labelled.group else StratifiedKFold
    folder = kind(n_folds, shuffle=True, random_state=seed)
    return [(rows[train], rows[test]) for train, test in folder.split(rows, codes, units if labelled.group else None)]


def _check_folds(labelled: Labelled, codes: Rows, units: Rows, n_folds: int) -> None:
    rarest, count = min(Counter(codes.tolist()).items(), key=lambda item: item[1])
    if count < n_folds:
        raise BadInput(
            f"label `{labelled.classes[rarest]}` has {count} text(s) to train on and {n_folds} folds are wanted; give "
            "more texts, leave the label out, or take fewer folds (classification.n_folds, classification.n_inner)"
        )
    n_units = len(set(units.tolist()))
    if n_units < n_folds:
        raise BadInput(f"the texts form {n_units} group(s), and {n_folds} folds are wanted; take fewer folds")
