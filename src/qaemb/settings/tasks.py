"""Settings of NLP tasks on answers (`downstream`), of what is served (`publish`) and of what is shown (`report`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qaemb.settings.base import KindSection, Section


class _RetrievalSettings(Section):
    """How the queries of a retrieval set without a split of its own are divided."""

    n_folds: int = Field(5, ge=2, description="folds of queries, each tested by what was learnt from the others")
    train_share: float | None = Field(
        None, gt=0, lt=1, description="learn from this share of the queries and test on the rest, in place of folds"
    )


class _ClassificationSettings(Section):
    """Linear models of a text's label: on how many questions, and how they are tested."""

    sizes: list[int] = Field([1, 2, 5, 10, 20, 30, 50], min_length=1, description="numbers of questions, rising")
    compared: int = Field(30, ge=1, description="the one of `sizes` that is compared with baselines, and explained")
    n_folds: int = Field(5, ge=2, description="outer folds, where the data set has no split of its own")
    n_repeats: int = Field(1, ge=1, description="of the outer folds, drawn anew")
    n_inner: int = Field(3, ge=2, description="folds inside the training texts, which choose the penalty")
    n_random: int = Field(3, ge=1, description="draws of random questions of each size, as a control")
    n_explained: int = Field(6, ge=0, description="test texts whose contributions are written")

    @model_validator(mode="after")
    def _sizes_rise(self) -> _ClassificationSettings:
        if self.sizes != sorted(set(self.sizes)) or self.sizes[0] < 1:
            raise ValueError("`sizes` must rise from 1 or more")
        if self.compared not in self.sizes:
            raise ValueError(f"`compared` is {self.compared}, which is not in `sizes`")
        return self


class _ClusteringSettings(Section):
    """k-means on answers, also on answers to questions that are chosen without labels."""

    describe: str | None = Field(None, description="a sentence about the data set, such as `messages to a shop`")
    n_chosen: int = Field(25, ge=1, description="questions that are chosen, and random ones beside them")
    n_clusters: int | None = Field(None, ge=2, description="default: as many as there are labels")
    n_seeds: int = Field(5, ge=1, description="runs of k-means")
    n_init: int = Field(10, ge=1, description="starts of a run, of which the best counts")
    n_random: int = Field(5, ge=1, description="draws of random questions, as a control")


class TaskSettings(KindSection):
    """One task, of any kind: a data set, what answers its texts, and what it is compared with."""

    kind: str
    data: str = Field(description="file or folder of the data set (docs/tasks.md)")
    answerer: str = Field(description="an answerer of answers.spec")
    set: str = Field("full", description="the questions")
    encoder: str = Field(description="a model of kind encoder: the black box to compare with")
    seed: int = 0
    n_resamples: int = Field(1000, ge=100, description="bootstrap samples behind each interval")


class SimilarityTask(TaskSettings):
    """How alike two texts are."""

    kind: Literal["similarity"]


class RetrievalTask(TaskSettings):
    """Which documents answer a query."""

    kind: Literal["retrieval"]
    retrieval: _RetrievalSettings = _RetrievalSettings()


class ClassificationTask(TaskSettings):
    """Which label a text has."""

    kind: Literal["classification"]
    classification: _ClassificationSettings = _ClassificationSettings()


class ClusteringTask(TaskSettings):
    """Which texts belong together."""

    kind: Literal["clustering"]
    clustering: _ClusteringSettings = _ClusteringSettings()


_Task = Annotated[SimilarityTask | RetrievalTask | ClassificationTask | ClusteringTask, Field(discriminator="kind")]


class DownstreamSettings(Section):
    """Tasks by name (stage `downstream`)."""

    tasks: dict[str, _Task] = Field(default_factory=dict)


class PublishSettings(Section):
    """What Feast serves (stage `publish`)."""

    job: str = Field(description="the answers job whose cells are served")
    sets: list[str] = Field(min_length=1, description="question sets, a feature service each")
    ttl_days: float = Field(0.0, ge=0.0, description="an older answer is not served but given anew; 0: never too old")


class ReportSettings(Section):
    """The report (stage `report`)."""

    map_space: str = Field(description="the encoding model shown on the cortical maps")
    n_top_questions: int = Field(15, ge=1)
