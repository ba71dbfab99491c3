"""What the builders of spaces read: the data set's tables, segments, answer matrices, published tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers.approval import require_approved
from qaemb.errors import BadInput
from qaemb.files import read_table
from qaemb.settings import SegmentationSettings, SpaceSettings
from qaemb.stimuli.segmentation import StoryWords
from qaemb.stimuli.segments import story_words


@dataclass(frozen=True)
class Inputs:
    """One space's settings and the folders that it may read; a folder is None where its kind needs none.

    `segmentation` is how the segments of `segments` were cut, `answers` and `validation` belong to the space's job. A
    space that averages several jobs has none of these four itself: `members` has an entry for each job. `vectors` is
    where vectors of texts are kept (None: nowhere); `beside` are the other spaces of kind `hidden` that read the same
    model, computing in the same dtype, over the same segments.
    """

    space: SpaceSettings
    lobes: int
    dataset: Path
    segmentation: SegmentationSettings | None = None
    segments: Path | None = None
    answers: Path | None = None
    validation: Path | None = None
    model: Path | None = None
    vectors: Path | None = None
    beside: tuple[SpaceSettings, ...] = ()
    members: Mapping[str, Inputs] = field(default_factory=dict)

    def stories(self) -> Iterator[tuple[str, StoryWords]]:
        """Yield name and words of every story, in the data set's order."""
        tables = [read_table(self.dataset / f"{name}.parquet") for name in ("words", "stories", "sentences")]
        yield from story_words(*tables)

    def train_stories(self) -> list[StoryWords]:
        """Return the words of the train stories."""
        train = set(self.train_names())
        return [story for name, story in self.stories() if name in train]

    def train_names(self) -> list[str]:
        """Return the names of the train stories, in the data set's order."""
        splits = read_table(self.dataset / "stories.parquet", ["story", "split"])
        return splits.loc[splits["split"] == "train", "story"].tolist()


def read_approved(answers: Path, validation: Path) -> pd.DataFrame:
    """Return an answer matrix (segment_id, one column per question) that validation approved as it is now.

    BadMatrix if validation failed, or approved another matrix than the one that is there.
    """
    require_approved(answers, validation)
    return read_table(answers / "margin.parquet")


def read_occurrences(segments: Path, known: pd.Index) -> dict[str, pd.DataFrame]:
    """Return story -> its occurrences in order, with the column `row`: where the segment stands in `known`.

    BadInput if a segment is not in `known`, the segment ids of a matrix.
    """
    path = segments / "occurrences.parquet"
    table = read_table(path)
    rows = known.get_indexer(pd.Index(table["segment_id"]))
    if (rows < 0).any():
        lacking = table["segment_id"].to_numpy()[rows < 0][0]
        raise BadInput(
            f"{path}: segment {lacking} has no row in the matrix; run `dvc repro` so that both are of one run"
        )
    table = table.assign(row=rows)
    return {str(story): own.sort_values("index") for story, own in table.groupby("story", sort=False)}


def read_published(dataset: Path, name: str) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    """Return the feature names and story -> values float32 (n_trs, features) of features that the source publishes."""
    path = dataset / "published" / f"{name}.parquet"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.parquet"))) or "nothing"
        raise BadInput(f"{path} does not exist: the data set publishes {there}; correct the space's `published`")
    table = read_table(path)
    names = [str(column) for column in table.columns if column not in ("story", "tr")]
    ordered = {str(story): own.sort_values("tr") for story, own in table.groupby("story", sort=False)}
    return names, {story: own[names].to_numpy(np.float32) for story, own in ordered.items()}


def read_gold(dataset: Path) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    """Return the property ids and story -> gold answers 0/1, float32 (n_sentences, properties), by sentence number."""
    path = dataset / "gold.parquet"
    if not path.exists():
        raise BadInput(f"{path} does not exist: this data set has no gold answers; take spaces of kind `gold` out")
    table = read_table(path)
    names = [str(column) for column in table.columns if column not in ("story", "index")]
    ordered = {str(story): own.sort_values("index") for story, own in table.groupby("story", sort=False)}
    return names, {story: own[names].to_numpy(np.float32) for story, own in ordered.items()}
