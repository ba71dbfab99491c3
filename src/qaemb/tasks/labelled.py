"""Texts with a label each, for classification and clustering: how they are read, checked and divided.

They come from a CSV, TSV, JSONL or Parquet file of the user's, a task of D3, or a file in a package. Who is trained on
and who is tested is the given split, or repeated stratified folds; and folds inside the former.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from qaemb.errors import BadInput
from qaemb.files import read_table
from qaemb.rows import csv_rows, json_rows, read_text
from qaemb.settings.base import Section
from qaemb.tasks.packaged import find_packaged, is_packaged

TRAIN, TEST = "train", "test"
_SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class _Row:
    """One labelled text. `place`: its file and line; `split` "", "train" or "test"; `group` "" where there is none."""

    place: str
    text: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Labelled:
    """Texts, each once, with their labels, row by row.

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


def _collect(rows: Iterable[_Row], source: str, drop_conflicts: bool = False) -> Labelled:
    """Return the texts of checked rows; of a text that stands there again with the same label the first row counts.

    BadInput names both rows of a text with two labels (with `drop_conflicts` all its rows are left out instead), an
    empty text or label, a split that is neither train nor test or lacks one of the two, and a single class.
    """
    first_rows: dict[str, _Row] = {}
    conflicting: set[str] = set()
    for row in rows:
        _check(row)
        before = first_rows.setdefault(row.text, row)
        if before.label != row.label:
            if not drop_conflicts:
                raise BadInput(
                    f"{row.place}: `{row.text[:_SHOWN]}` has the label `{row.label}`, and `{before.label}` in "
                    f"{before.place}; leave one of the two rows out"
                )
            conflicting.add(row.text)
    selected = [row for text, row in first_rows.items() if text not in conflicting]
    _check_all(selected, source)
    return Labelled(
        [row.text for row in selected],
        [row.label for row in selected],
        [row.split for row in selected if row.split],
        [row.group for row in selected if row.group],
    )


def _check(row: _Row) -> None:
    if not row.text.strip():
        raise BadInput(f"{row.place}: the text is empty; fill it in or leave the row out")
    if not row.label.strip():
        raise BadInput(f"{row.place}: the label is empty; fill it in or leave the row out")
    if row.split not in ("", TRAIN, TEST):
        raise BadInput(f"{row.place}: split `{row.split}` is neither `{TRAIN}` nor `{TEST}`")


def _check_all(rows: list[_Row], source: str) -> None:
    classes = Counter(row.label for row in rows)
    if len(classes) < 2:
        raise BadInput(f"{source} has {len(rows)} texts with {len(classes)} label(s); a task needs two or more labels")
    for name in ("split", "group"):
        without = [row for row in rows if not getattr(row, name)]
        if without and len(without) < len(rows):
            raise BadInput(f"{without[0].place}: {name} is empty, but other rows have one; fill it in everywhere")
    splits = {row.split for row in rows} - {""}
    if len(splits) == 1:
        lacks = TEST if TRAIN in splits else TRAIN
        raise BadInput(f"{source} has no text with the split `{lacks}`; give some, or leave the column `split` out")
    if splits:
        _check_test(rows)


def _check_test(rows: list[_Row]) -> None:
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


FORMAT = "labelled"
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PACKED = (".gz", ".bz2")
Part = Literal["all", "train", "test"]


class _Columns(Section):
    """Which columns of a table are what."""

    text: str = "text"
    label: str = "label"
    split: str | None = None
    group: str | None = None


class _Contents(Section):
    """What of a package's files is a data set (the keys of `source.yaml` beside those that name the package)."""

    files: dict[Part, str] = Field(min_length=1, description="`all`, or `train` and `test` -> file in the package")
    columns: _Columns = _Columns()
    skip: int = Field(0, ge=0, description="rows below the header that are no texts")
    labels: list[str] = Field([], description="keep texts with these labels; default: all")
    per_label: dict[Part, int] = Field({}, description="as `files`: texts of each label, drawn with seed 0")
    drop_conflicts: bool = Field(False, description="leave out a text that has two labels, rather than stop")


def read_labelled(path: Path) -> Labelled:
    """Return the labelled texts of a file (columns `text`, `label`, if there are `split`, `group`) or of a package.

    A table of D3 has `input` in place of `text`. BadInput names the file and the row that is wrong.
    """
    if is_packaged(path):
        return _read_packaged(path)
    if not path.is_file():
        raise BadInput(f"{path} is no file; give a table with columns text and label, or a folder with source.yaml")
    return _collect(_rows(path, _own_columns(path)), str(path))


def _own_columns(path: Path) -> _Columns:
    names = _header(path)
    return _Columns(
        text="input" if "input" in names and "text" not in names else "text",
        split="split" if "split" in names else None,
        group="group" if "group" in names else None,
    )


def _header(path: Path) -> list[str]:
    """Return the names of a table's columns: those of the first row, where each row has its own."""
    kind = _kind(path)
    if kind in _SEPARATORS:
        return [name.strip('"') for name in read_text(path).split("\n", 1)[0].strip().split(_SEPARATORS[kind])]
    first = next(_values(path, _Columns()), None)
    return list(first[1]) if first else []


def _rows(path: Path, columns: _Columns, split: str = "") -> Iterator[_Row]:
    """Yield the rows of a table; `split` holds for all of them where the table has none of its own."""
    for place, values in _values(path, columns):
        for name in (columns.text, columns.label):
            if name not in values:
                raise BadInput(f"{place}: there is no `{name}`; a task needs `{columns.text}` and `{columns.label}`")
        cells = [_value(values.get(name) if name else "") for name in columns.model_dump().values()]
        yield _Row(place, cells[0], cells[1], cells[2] or split, cells[3])


def _values(path: Path, columns: _Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = _kind(path)
    if kind in _SEPARATORS:
        names = tuple(name for name in columns.model_dump().values() if name)
        yield from csv_rows(path, names, _SEPARATORS[kind])
    elif kind == ".jsonl":
        yield from json_rows(path)
    elif kind == ".parquet":
        for number, row in enumerate(read_table(path).to_dict("records"), start=1):
            yield f"{path}, row {number}", {str(name): value for name, value in row.items()}
    else:
        raise BadInput(f"{path}: a table is {', '.join(_SEPARATORS)} (also {', '.join(_PACKED)}), .jsonl or .parquet")


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in _PACKED else path
    return name.suffix.lower()


def _value(value: Any) -> str:
    """Return a cell as text; what is missing (null, NaN, <NA>) is empty."""
    missing = pd.api.types.is_scalar(value) and pd.isna(value)
    return "" if missing else str(value)


def _read_packaged(path: Path) -> Labelled:
    packaged = find_packaged(path, _Contents.model_fields)
    source = path / "source.yaml"
    if packaged.format != FORMAT:
        raise BadInput(f"{source}: format `{packaged.format}`; labelled texts in a package have the format `{FORMAT}`")
    try:
        contents = _Contents.model_validate(packaged.options)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    rows: list[_Row] = []
    for name, file in contents.files.items():
        split = name if name in (TRAIN, TEST) else ""
        rows_of_file = list(_rows(packaged.root / file, contents.columns, split))[contents.skip :]
        rows += [row for row in rows_of_file if not contents.labels or row.label in contents.labels]
    per_label = {str(part): number for part, number in contents.per_label.items()}
    return _sample(_collect(rows, str(source), contents.drop_conflicts), per_label)


def _sample(labelled: Labelled, per_label: Mapping[str, int]) -> Labelled:
    """Return at most so many texts of each label (and split), in their order; all where no number is given."""
    if not per_label:
        return labelled
    by_class: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, label in enumerate(labelled.label):
        by_class[labelled.split[row] if labelled.split else "all", label].append(row)
    drawn = random.Random(0)
    sample = [
        row
        for (split, _), rows in sorted(by_class.items())
        for row in drawn.sample(rows, min(per_label.get(split, len(rows)), len(rows)))
    ]
    return _take(labelled, sorted(sample))


def _take(labelled: Labelled, rows: Iterable[int]) -> Labelled:
    columns = (labelled.texts, labelled.label, labelled.split, labelled.group)
    numbers = list(rows)
    return Labelled(*([column[row] for row in numbers] if column else [] for column in columns))
