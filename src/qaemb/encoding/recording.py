"""One subject's stories: z-scored features with their delays, and responses in blocks of voxels from an HDF5 file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from qaemb.arrays import Array, Floats, Integers, Mask
from qaemb.encoding.ridge_cv import shares_of
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

    def read_repeats(self, story: str, voxels: slice) -> Array | None:
        """Return the repeats (repeats, n_trs, voxels) of a story, None where there are none."""
        if story not in self.n_repeats:
            return None
        import h5py

        with h5py.File(self.path, "r") as file:
            return file["repeats"][story][:, :, voxels].astype(np.float64)


def delayed(values: Array, delays: Sequence[int]) -> Array:
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


def _delayed_columns(features: Sequence[int], n_features: int, n_delays: int) -> Integers:
    """Return the columns that some of `n_features` features have in a matrix of `n_delays` delayed blocks.

    >>> _delayed_columns([0, 2], 3, 2).tolist()
    [0, 2, 3, 5]
    """
    return (np.arange(n_delays)[:, None] * n_features + np.asarray(features, dtype=np.int64)).ravel()


@dataclass(frozen=True)
class VoxelBlock:
    """Centred responses of v neighbouring voxels: story -> (n_trs, v), and which voxels are `valid`, (v,).

    A voxel with a NaN in any train or test story is not valid. Its responses are zeros: they go through the sums, and
    the results are set to NaN after.
    """

    voxels: slice
    responses: Mapping[str, NDArray[Any]]
    valid: Mask

    def shares(self, size: int) -> list[VoxelBlock]:
        """Return the block cut into blocks of at most `size` voxels."""
        return [self._share(share) for share in shares_of(len(self.valid), size)]

    def _share(self, share: slice) -> VoxelBlock:
        voxels = slice(self.voxels.start + share.start, self.voxels.start + share.stop)
        return VoxelBlock(voxels, {s: values[:, share] for s, values in self.responses.items()}, self.valid[share])


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

    @property
    def is_wide(self) -> bool:
        """Whether the design matrix has more columns than train rows."""
        return self.n_columns > sum(self.train_rows().values())

    def train_rows(self) -> dict[str, int]:
        """Return train story -> rows."""
        return {story: len(values) for story, values in self.train.items()}

    def designs(self) -> Iterator[tuple[str, Array]]:
        """Yield name and delayed design matrix (n_trs, delays * features) of each train story."""
        for story, values in self.train.items():
            yield story, delayed(values, self.delays)

    def columns(self, features: Sequence[int]) -> Integers:
        """Return the columns of the delayed design matrix that some of the features have."""
        return _delayed_columns(features, self.n_features, len(self.delays))

    def blocks(self, size: int) -> list[slice]:
        """Return the voxels in blocks of at most `size`."""
        return shares_of(self.responses.n_voxels, size)

    def read(self, voxels: slice, dtype: DTypeLike = np.float64) -> VoxelBlock:
        """Return the responses of a block of voxels to all stories, centred per story."""
        responses = {story: self.responses.read(story, voxels, dtype) for story in [*self.train, *self.test]}
        valid = np.all([np.isfinite(values).all(axis=0) for values in responses.values()], axis=0)
        for values in responses.values():
            _centre(values, ~valid)
        return VoxelBlock(voxels, responses, valid)


def _centre(values: NDArray[Any], blank: Mask) -> None:
    """Take the mean out of each column, and make the `blank` ones 0; in place, as responses are the largest array."""
    values[:, blank] = 0.0
    values -= values.mean(axis=0, dtype=np.float64).astype(values.dtype)


def open_recordings(
    subjects: Sequence[str],
    space: Space,
    stories: pd.DataFrame,
    delays: Sequence[int],
    folder: Path,
    scale: Callable[[Floats], Array] = zscore,
) -> list[Recording]:
    """Return the recordings of subjects whose responses are `folder/SUBJECT.h5`; `stories` is stories.parquet.

    `scale` makes the features (n_trs, features) of each story comparable, once for all subjects. BadInput if rows of
    features and responses differ, or a subject has no train or no test story.
    """
    features = {story: scale(values) for story, values in space.values.items()}
    splits = dict(zip(stories["story"], stories["split"], strict=True))
    files = {subject: ResponseFile(folder / f"{subject}.h5") for subject in subjects}
    return [_make_recording(subject, features, splits, tuple(delays), file) for subject, file in files.items()]


def _make_recording(
    subject: str,
    features: Mapping[str, Array],
    splits: Mapping[str, str],
    delays: tuple[int, ...],
    responses: ResponseFile,
) -> Recording:
    """Return the stories that the subject heard, in the order of `features`; `splits` is story -> train or test."""
    heard = [story for story in features if story in responses.n_rows]
    for story in heard:
        if len(features[story]) != responses.n_rows[story]:
            raise BadInput(
                f"{responses.path}: {story} has {responses.n_rows[story]} rows, its features {len(features[story])}; "
                "run `dvc repro` so that both are of one data set"
            )
    split = {
        kind: {story: features[story] for story in heard if splits.get(story) == kind} for kind in ("train", "test")
    }
    for kind, stories in split.items():
        if not stories:
            raise BadInput(f"{responses.path}: {subject} heard no {kind} story; take the subject out of the data set")
    return Recording(subject, split["train"], split["test"], delays, responses)
