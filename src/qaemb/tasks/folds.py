"""Who is trained on and who is tested: the given split, or repeated stratified folds; and folds inside the former."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.tasks.labelled import TEST, TRAIN, Labelled

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
    _check(labelled, codes, units, n_folds)
    kind = StratifiedGroupKFold if labelled.group else StratifiedKFold
    folder = kind(n_folds, shuffle=True, random_state=seed)
    return [(rows[train], rows[test]) for train, test in folder.split(rows, codes, units if labelled.group else None)]


def _check(labelled: Labelled, codes: Rows, units: Rows, n_folds: int) -> None:
    rarest, count = min(Counter(codes.tolist()).items(), key=lambda item: item[1])
    if count < n_folds:
        raise BadInput(
            f"label `{labelled.classes[rarest]}` has {count} text(s) to train on and {n_folds} folds are wanted; give "
            "more texts, leave the label out, or take fewer folds (classification.n_folds, classification.n_inner)"
        )
    n_units = len(set(units.tolist()))
    if n_units < n_folds:
        raise BadInput(f"the texts form {n_units} group(s), and {n_folds} folds are wanted; take fewer folds")
