"""Responses of one subject, read from its HDF5 file in blocks of voxels.

Design matrices: z-scored per story, delayed inside the story.

One subject's stories: z-scored features and responses, checked to belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from qaemb.encoding.moments import Array
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space, zscore


class ResponseFile:
    """`dataset/responses/SUBJECT.h5`: story -> rows, the number of voxels, and blocks of voxels on request."""

    def __init__(self, path: Path) -> None:
        import h5py

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
        import h5py

        with h5py.File(self.path, "r") as file:
            return file["data"][story][:, voxels].astype(dtype, copy=False)

    def read_repeats(self, story: str, voxels: slice) -> NDArray[np.float64] | None:
        """Return the repeats (repeats, n_trs, voxels) of a story, None where there are none."""
        if story not in self.n_repeats:
            return None
        import h5py

        with h5py.File(self.path, "r") as file:
            return file["repeats"][story][:, :, voxels].astype(np.float64)


__all__ = ["delayed", "delayed_columns", "mean_delayed", "zscore"]


def delayed(values: NDArray[np.float64], delays: Sequence[int]) -> NDArray[np.float64]:
    """Return (rows, len(delays) * features): block d holds the features of `delays[d]` rows earlier.

    Rows before the start are zeros, the mean of z-scored features; nothing crosses from another story.
    BadParameter if a delay is negative or stands twice.

    >>> delayed(np.array([[1.0], [2.0], [3.0]]), [0, 2]).tolist()
    [[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]]
    """
    if min(delays) < 0 or len(set(delays)) != len(delays):
        raise BadParameter(f"encode.delays: {list(delays)} must be different whole numbers from 0 on")
    n_rows, n_features = values.shape
    blocks = np.zeros((n_rows, len(delays), n_features))
    for i, delay in enumerate(delays):
        blocks[delay:, i] = values[: max(n_rows - delay, 0)]
    return blocks.reshape(n_rows, -1)


def mean_delayed(values: NDArray[np.float64], delays: Sequence[int]) -> NDArray[np.float64]:
    """Return (rows, features): each feature's mean over its delayed copies."""
    return delayed(values, delays).reshape(len(values), len(delays), -1).mean(axis=1)


def delayed_columns(features: Sequence[int], n_features: int, n_delays: int) -> NDArray[np.int64]:
    """Return the columns that some of `n_features` features have in a matrix of `n_delays` delayed blocks.

    >>> delayed_columns([0, 2], 3, 2).tolist()
    [0, 2, 3, 5]
    """
    return (np.arange(n_delays)[:, None] * n_features + np.asarray(features, dtype=np.int64)).ravel()


@dataclass(frozen=True)
class Recording:
    """A subject's train and test stories, each story -> z-scored features (n_trs, features), and its responses."""

    subject: str
    train: dict[str, Array]
    test: dict[str, Array]
    delays: tuple[int, ...]
    responses: ResponseFile

    @property
    def n_features(self) -> int:
        """Features before they are delayed."""
        return next(iter(self.train.values())).shape[1]

    @property
    def n_columns(self) -> int:
        """Columns of the delayed design matrix."""
        return self.n_features * len(self.delays)

    def train_rows(self) -> dict[str, int]:
        """Return train story -> rows."""
        return {story: len(values) for story, values in self.train.items()}

    def designs(self) -> Iterator[tuple[str, Array]]:
        """Yield name and delayed design matrix (n_trs, delays * features) of each train story."""
        for story, values in self.train.items():
            yield story, delayed(values, self.delays)

    def blocks(self, size: int) -> list[slice]:
        """Return the voxels in blocks of at most `size`."""
        n = self.responses.n_voxels
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def read(self, voxels: slice, dtype: DTypeLike = np.float64) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Return story -> responses (n_trs, voxels), centred per story, and which voxels are free of NaN throughout.

        Voxels with a NaN in any train or test story are zeros: they go through the sums and are set to NaN after.
        """
        responses = {story: self.responses.read(story, voxels, dtype) for story in [*self.train, *self.test]}
        valid = np.all([np.isfinite(values).all(axis=0) for values in responses.values()], axis=0)
        for values in responses.values():
            _centre(values, ~valid)
        return responses, valid


def _centre(values: NDArray[Any], blank: NDArray[np.bool_]) -> None:
    """Take the mean out of each column, and make the `blank` ones 0; in place, as responses are the largest array."""
    values[:, blank] = 0.0
    values -= values.mean(axis=0, dtype=np.float64).astype(values.dtype)


def make_recording(
    subject: str,
    features: Mapping[str, Array],
    splits: Mapping[str, str],
    delays: tuple[int, ...],
    responses: ResponseFile,
) -> Recording:
    """Return the stories that the subject heard, in the order of `features` (story -> z-scored features).

    `splits` is story -> "train" or "test". BadInput if rows of features and responses differ, or the subject has no
    train or no test story.
    """
    heard = [story for story in features if story in responses.n_rows]
    for story in heard:
        if len(features[story]) != responses.n_rows[story]:
            raise BadInput(
                f"{responses.path}: {story} has {responses.n_rows[story]} rows, its features {len(features[story])}; "
                "run `dvc repro` so that both are of one data set"
            )
    own = {kind: {story: features[story] for story in heard if splits.get(story) == kind} for kind in ("train", "test")}
    for kind, stories in own.items():
        if not stories:
            raise BadInput(f"{responses.path}: {subject} heard no {kind} story; take the subject out of the data set")
    return Recording(subject, own["train"], own["test"], delays, responses)


def open_recordings(
    subjects: Sequence[str], space: Space, stories: pd.DataFrame, delays: Sequence[int], folder: Path
) -> list[Recording]:
    """Return the recordings of subjects whose responses are `folder/SUBJECT.h5`; `stories` is stories.parquet.

    Features are z-scored per story here, once for all subjects.
    """
    features = {story: zscore(values) for story, values in space.values.items()}
    splits = dict(zip(stories["story"], stories["split"], strict=True))
    files = {subject: ResponseFile(folder / f"{subject}.h5") for subject in subjects}
    return [make_recording(subject, features, splits, tuple(delays), file) for subject, file in files.items()]
