"""Settings of NLP tasks on answers: `downstream`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qaemb.settings.base import Section


class RetrievalSettings(Section):
    """How the queries of a retrieval set without a split of its own are divided."""

    n_folds: int = Field(5, ge=2, description="folds of queries, each tested by what was learnt from the others")
    train_share: float | None = Field(
        None, gt=0, lt=1, description="learn from this share of the queries and test on the rest, in place of folds"
    )


class TaskSettings(Section):
    """One task: a data set, what answers its texts, and what it is compared with."""

    kind: Literal["similarity", "retrieval"]
    data: str = Field(description="file or folder of the data set (docs/tasks.md)")
    answerer: str = Field(description="an answerer of answers.spec")
    set: str = Field("full", description="the questions")
    encoder: str = Field(description="a model of kind encoder: the black box to compare with")
    seed: int = 0
    n_resamples: int = Field(1000, ge=100, description="bootstrap samples behind each interval")
    retrieval: RetrievalSettings = RetrievalSettings()


class DownstreamSettings(Section):
    """Tasks by name (stage `downstream`)."""

    tasks: dict[str, TaskSettings] = Field(default_factory=dict)
