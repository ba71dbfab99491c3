"""Responses in HDF5 files: opened and checked, read only when sliced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from qaemb.datasets.source import Responses
from qaemb.errors import BadInput


@contextmanager
def open_responses(path: Path, n_trs: int) -> Iterator[Responses]:
    """Yield the responses of one hf5 of ds003020: `data` (n_trs, voxels), `individual_repeats` where it is there.

    BadInput names the file if it can't be opened, lacks `data`, or has another number of rows than `n_trs`.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path} can't be opened as HDF5 ({error}): cut off or damaged; fetch it again") from error
    with file:
        if "data" not in file:
            raise BadInput(f"{path} has no data set `data`, only: {', '.join(file) or 'nothing'}")
        data, repeats = file["data"], file.get("individual_repeats")
        if data.ndim != 2 or data.shape[0] != n_trs:
            raise BadInput(
                f"{path}: `data` has {data.shape[0] if data.ndim else 0} rows ({data.ndim} axes), expected {n_trs} "
                "(the story's number in respdict.json less 20); one of the two files is wrong"
            )
        if repeats is not None and (repeats.ndim != 3 or repeats.shape[1:] != data.shape):
            raise BadInput(f"{path}: `individual_repeats` is {repeats.shape}, expected (repeats, {data.shape})")
        yield Responses(data, repeats)
