"""Tables that say where on fsaverage5 voxels lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.datasets.csv_files import FIRST_ROW, read_csv, read_numbers
from qaemb.errors import BadInput

N_VERTICES = 10_242
"""Vertices of a hemisphere of fsaverage5."""


def read_voxels(path: Path) -> pd.DataFrame:
    """Return voxel (its column in the responses), hemi, vertex and region ("" if not given), and subject if given.

    BadInput names the file and the row of an unknown hemisphere, a vertex that fsaverage5 does not have, or a voxel
    that is there twice.
    """
    table = read_csv(path, ["voxel", "hemi", "vertex"])
    for column in ("voxel", "vertex"):
        table[column] = read_numbers(path, table, column).astype(np.int32)
    if "region" not in table.columns:
        table["region"] = ""
    keys = [column for column in ("subject", "voxel") if column in table.columns]
    wrong = {
        "`hemi` is left or right": ~table["hemi"].isin(["left", "right"]),
        f"`vertex` is 0 to {N_VERTICES - 1}, of fsaverage5": ~table["vertex"].between(0, N_VERTICES - 1),
        "`voxel` is a column of the responses, from 0": table["voxel"] < 0,
        "the voxel is there twice": table.duplicated(keys),
    }
    for message, rows in wrong.items():
        if rows.any():
            raise BadInput(f"{path}, row {FIRST_ROW + int(np.argmax(rows))}: {message}")
    return table
