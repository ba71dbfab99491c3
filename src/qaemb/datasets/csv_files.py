"""Tables in text files: read as the texts that stand in them, every complaint with file and row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput

FIRST_ROW = 2
"""The row of a file in which its first entry stands, under the names of the columns."""


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
