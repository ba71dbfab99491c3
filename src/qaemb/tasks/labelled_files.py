"""Reading labelled texts: a CSV, TSV, JSONL or Parquet file of the user's, a task of D3, or a file in a package."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from qaemb.errors import BadInput
from qaemb.files import read_table
from qaemb.rows import csv_rows, json_rows, read_text
from qaemb.settings.base import Section
from qaemb.tasks.labelled import TEST, TRAIN, Labelled, Row, collect
from qaemb.tasks.packaged import find_packaged, is_packaged

FORMAT = "labelled"
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PACKED = (".gz", ".bz2")
Part = Literal["all", "train", "test"]


class Columns(Section):
    """Which columns of a table are what."""

    text: str = "text"
    label: str = "label"
    split: str | None = None
    group: str | None = None


class Contents(Section):
    """What of a package's files is a data set (the keys of `source.yaml` beside those that name the package)."""

    files: dict[Part, str] = Field(min_length=1, description="`all`, or `train` and `test` -> file in the package")
    columns: Columns = Columns()
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
    return collect(_rows(path, _own_columns(path)), str(path))


def _own_columns(path: Path) -> Columns:
    known = _header(path)
    return Columns(
        text="input" if "input" in known and "text" not in known else "text",
        split="split" if "split" in known else None,
        group="group" if "group" in known else None,
    )


def _header(path: Path) -> list[str]:
    """Return the names of a table's columns: those of the first row, where each row has its own."""
    kind = _kind(path)
    if kind in _SEPARATORS:
        return [name.strip('"') for name in read_text(path).split("\n", 1)[0].strip().split(_SEPARATORS[kind])]
    first = next(_values(path, Columns()), None)
    return list(first[1]) if first else []


def _rows(path: Path, columns: Columns, split: str = "") -> Iterator[Row]:
    """Yield the rows of a table; `split` holds for all of them where the table has none of its own."""
    for place, values in _values(path, columns):
        for name in (columns.text, columns.label):
            if name not in values:
                raise BadInput(f"{place}: there is no `{name}`; a task needs `{columns.text}` and `{columns.label}`")
        own = [_value(values.get(name) if name else "") for name in columns.model_dump().values()]
        yield Row(place, own[0], own[1], own[2] or split, own[3])


def _values(path: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = _kind(path)
    if kind in _SEPARATORS:
        wanted = tuple(name for name in columns.model_dump().values() if name)
        yield from csv_rows(path, wanted, _SEPARATORS[kind])
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
    found = find_packaged(path, Contents.model_fields)
    source = path / "source.yaml"
    if found.format != FORMAT:
        raise BadInput(f"{source}: format `{found.format}`; labelled texts in a package have the format `{FORMAT}`")
    try:
        contents = Contents.model_validate(found.options)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    rows: list[Row] = []
    for name, file in contents.files.items():
        split = name if name in (TRAIN, TEST) else ""
        own = list(_rows(found.root / file, contents.columns, split))[contents.skip :]
        rows += [row for row in own if not contents.labels or row.label in contents.labels]
    per_label = {str(part): number for part, number in contents.per_label.items()}
    return _sample(collect(rows, str(source), contents.drop_conflicts), per_label)


def _sample(labelled: Labelled, per_label: Mapping[str, int]) -> Labelled:
    """Return at most so many texts of each label (and split), in their order; all where no number is given."""
    if not per_label:
        return labelled
    by_class: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, label in enumerate(labelled.label):
        by_class[labelled.split[row] if labelled.split else "all", label].append(row)
    drawn = random.Random(0)
    kept = [
        row
        for (split, _), rows in sorted(by_class.items())
        for row in drawn.sample(rows, min(per_label.get(split, len(rows)), len(rows)))
    ]
    return _take(labelled, sorted(kept))


def _take(labelled: Labelled, rows: Iterable[int]) -> Labelled:
    columns = (labelled.texts, labelled.label, labelled.split, labelled.group)
    numbers = list(rows)
    return Labelled(*([column[row] for row in numbers] if column else [] for column in columns))
