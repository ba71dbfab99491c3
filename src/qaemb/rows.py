"""A user's text files: rows of CSV and JSON lines, and tables; every error names the file and the line or row.

`csv_rows` is for tables of texts: it keeps a cell as it is, refuses a row of another length, and knows the line of each
row, which cells with line ends in them make another number than that of the row. `read_csv` is for tables of numbers
and names, as pandas reads them: cells are stripped, short rows are filled up, and rows count from `FIRST_ROW`.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput

FIRST_ROW = 2
"""The row of a file in which its first entry stands, under the names of the columns."""


def csv_rows(path: Path, columns: tuple[str, ...], separator: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where a row ends (file and line) and its values under `columns`; other columns are ignored.

    BadInput names a column that is not there, a row of another length, and quotes that do not close.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True, delimiter=separator)
    try:
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise BadInput(f"{path}: there is no column `{column}`; expected the header `{','.join(columns)}`")
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row or any(row[column] is None for column in columns):
                raise BadInput(
                    f"{place}: the row has not as many values as the header; quote texts with commas in them"
                )
            yield place, {column: row[column] for column in columns}
    except csv.Error as error:
        # The line where the broken row begins; an open quote runs to the end of the file.
        raise BadInput(
            f"{path}, line {reader.line_num + 1}: not valid CSV: {error}; close or double its quotes"
        ) from error


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield file and line, and the object that stands there, of a file of JSON lines; empty lines are skipped."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, _json_object(line, place)


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Return a file (also .gz, .bz2) as it is, line ends included, and without a byte order mark.

    BadInput if it can't be read.
    """
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix.lower(), bytes)
    try:
        return unpack(path.read_bytes()).decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: {error}; save it as UTF-8") from error
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror or error}") from error
    except (EOFError, ValueError, zlib.error) as error:  # of a packed file that was cut or damaged
        raise BadInput(f"{path} can't be unpacked: {error}; make it again") from error


def read_csv(path: Path, columns: list[str], separator: str = ",") -> pd.DataFrame:
    """Return a table with a line of names on top, all cells as text (`null` and `NA` stay words, spaces are stripped).

    BadInput names the file if it is missing, not UTF-8, not a table, or lacks one of `columns`.
    """
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; docs/datasets.md describes the layout") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except ValueError as error:
        raise BadInput(f"{path} can't be read as a table: {error}") from error
    table.columns = table.columns.str.strip()
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise BadInput(
            f"{path} lacks the columns: {', '.join(missing)}; there are: {', '.join(table.columns)} "
            f"(separated by {'tabs' if separator == chr(9) else 'commas'}, names in the first row)"
        )
    # pandas pads short rows with NaN even where empty cells stay empty.
    return table.fillna("").apply(lambda column: column.str.strip())


def refuse_rows(path: Path, wrong_rows: Mapping[str, pd.Series]) -> None:
    """Raise BadInput with the first row of a table of `read_csv` for which one of the conditions holds.

    `wrong_rows`: what is wrong -> for each row of the table whether it is.
    """
    for message, rows in wrong_rows.items():
        if rows.any():
            raise BadInput(f"{path}, row {FIRST_ROW + int(rows.to_numpy().argmax())}: {message}")


def read_numbers(path: Path, table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of a table of `read_csv`, or of some of its rows, as numbers.

    BadInput names the first row that holds none, by the table's index.
    """
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        row, cell = FIRST_ROW + table.index[wrong[0]], table[column].iloc[wrong[0]]
        more = f" (and {len(wrong) - 1} more rows)" if len(wrong) > 1 else ""
        raise BadInput(f"{path}, row {row}: `{column}` should be a number, not `{cell}`{more}")
    return values


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"{place}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{place}: expected an object, as {{...}}, in each line")
    return values
