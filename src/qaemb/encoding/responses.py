"""Responses of one subject, read from its HDF5 file in blocks of voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from qaemb.errors import BadInput


class ResponseFile:
    """`dataset/responses/SUBJECT.h5`: story -> rows, the number of voxels, and blocks of voxels on request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with h5py.File(path, "r") as file:
                shapes = {str(story): data.shape for story, data in file.get("data", {}).items()}
                self.n_repeats = {str(story): data.shape[0] for story, data in file.get("repeats", {}).items()}
        except FileNotFoundError as error:
            raise BadInput(f"{path} does not exist; run the stage `dataset`") from error
        except OSError as error:
            raise BadInput(f"{path} can't be opened as HDF5 ({error}); run the stage `dataset` again") from error
        if not shapes or len({shape[1] for shape in shapes.values()}) != 1:
            raise BadInput(f"{path} has no stories under `data`, or stories of different voxels; run `dataset` again")
        self.n_rows: dict[str, int] = {story: shape[0] for story, shape in shapes.items()}
        self.n_voxels: int = next(iter(shapes.values()))[1]

    def read(self, story: str, voxels: slice, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return the responses (n_trs, voxels) to a story; NaN where a voxel has none."""
        with h5py.File(self.path, "r") as file:
            return file["data"][story][:, voxels].astype(dtype, copy=False)

    def read_repeats(self, story: str, voxels: slice) -> NDArray[np.float64] | None:
        """Return the repeats (repeats, n_trs, voxels) of a story, None where there are none."""
        if story not in self.n_repeats:
            return None
        with h5py.File(self.path, "r") as file:
            return file["repeats"][story][:, :, voxels].astype(np.float64)
