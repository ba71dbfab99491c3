"""One subject's stories: z-scored features and responses, checked to belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from qaemb.encoding.design import delayed, zscore
from qaemb.encoding.moments import Array
from qaemb.encoding.responses import ResponseFile
from qaemb.errors import BadInput
from qaemb.features.space import Space


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
