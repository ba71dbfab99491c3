"""Responses in .npy and HDF5 files: opened and checked, read only when sliced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qaemb.datasets.source import Responses
from qaemb.errors import BadInput

CHUNK_VOXELS = 1024
"""Voxels in one chunk of the responses that the stage writes, and the step in which blocks of voxels grow."""

_BLOCK_BYTES = 16 * 2**20


@contextmanager
def open_responses(path: Path) -> Iterator[Responses]:
    """Yield the responses of one HDF5 file: `data` (n_trs, voxels), `individual_repeats` where it is there.

    BadInput names the file if it can't be opened, lacks `data`, or its arrays are not of numbers and of these shapes.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path} can't be opened as HDF5 ({error}): cut off or damaged; fetch it again") from error
    with file:
        data, repeats = file.get("data"), file.get("individual_repeats")
        if not isinstance(data, h5py.Dataset):
            raise BadInput(f"{path} has no data set `data`, only: {', '.join(file) or 'nothing'}")
        responses = Responses(data, repeats, str(path))
        check_arrays(responses)
        yield responses


def open_npy(path: Path) -> Any:
    """Return the array of an .npy file, mapped and not read; BadInput names a file that holds none."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; docs/datasets.md describes the layout") from error
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} can't be read as .npy ({error}): cut off, damaged, or no array of numbers") from error


def check_arrays(responses: Responses) -> None:
    """Raise BadInput unless data and repeats are of numbers, and of shapes that belong together."""
    data, repeats, where = responses.data, responses.repeats, responses.where
    for name, values in (("responses", data), ("repeats", repeats)):
        if values is not None and values.dtype.kind not in "fiu":
            raise BadInput(f"{where}: the {name} are of type {values.dtype}, expected numbers")
    if data.ndim != 2 or 0 in data.shape:
        raise BadInput(f"{where}: the responses are {shape_of(data)}, expected (n_trs, voxels)")
    if repeats is not None and (repeats.ndim != 3 or repeats.shape[1:] != data.shape):
        raise BadInput(f"{where}: the repeats are {shape_of(repeats)}, expected repeats x {shape_of(data)}")


def check_rows(responses: Responses, expected: int, reason: str) -> None:
    """Raise BadInput unless there are `expected` rows; `reason` says where that number is from."""
    rows = responses.data.shape[0]
    if rows != expected:
        raise BadInput(
            f"{responses.where}: the responses have {rows} rows, expected {expected} ({reason}); one is wrong"
        )


def voxel_blocks(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the places of an array of two or three axes, block by block: all rows of some voxels, one repeat at a time.

    A block has about 16 MiB as float64, so memory does not grow with the voxels; rows stay whole, since that is how
    responses are analysed, and chunks are written once.
    """
    *runs, rows, voxels = shape
    width = max(1, _BLOCK_BYTES // (8 * rows) // CHUNK_VOXELS) * CHUNK_VOXELS
    for start in range(0, voxels, width):
        for run in range(runs[0]) if runs else [None]:
            place = (slice(None), slice(start, min(start + width, voxels)))
            yield place if run is None else (run, *place)


def read_block(values: Any, place: tuple[Any, ...], where: str) -> np.ndarray:
    """Return one block of an array in memory; BadInput names the file if it ends before its header says."""
    try:
        return np.asarray(values[place])
    except (OSError, ValueError) as error:
        raise BadInput(f"{where} can't be read to the end ({error}): cut off or damaged; fetch it again") from error


def shape_of(values: Any) -> str:
    """Return a shape as text.

    >>> shape_of(np.zeros((3, 4)))
    '3 x 4'
    """
    return " x ".join(map(str, values.shape)) or "a single number"
