"""Reading a user's text files row by row: every row comes with the file and line that an error should name."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput


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


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"{place}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{place}: expected an object, as {{...}}, in each line")
    return values
