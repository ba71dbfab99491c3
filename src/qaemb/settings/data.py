"""Settings of the stages that make data: `miniature`, `dataset`, `segments`, `questions`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qaemb.settings.base import Section


class MiniatureSettings(Section):
    """The generator of the data set `miniature` (stage `miniature`)."""

    seed: int = 1
    n_subjects: int = Field(3, ge=1, le=9)
    n_voxels: int = Field(600, ge=50, le=10_000, description="voxels per subject")
    signal_to_noise: float = Field(0.5, gt=0, description="variance of signal over noise in one repeat, signal voxels")
    noise_ar: float = Field(0.4, ge=0, lt=1, description="AR(1) coefficient of the noise")
    n_repeats: list[int] = Field([10, 5, 5], description="repeats of each test story, by subject")


class BidsSettings(Section):
    """How adapter `bids` reads events and fMRIPrep's outputs."""

    derivatives: Path | None = Field(
        None, description="fMRIPrep's outputs, under dataset.path; default: derivatives/fmriprep if there, else all"
    )
    space: str | None = Field(None, description="the space of the images; needed if there are several")
    mask: Path | None = Field(None, description="a mask for all runs, under dataset.path; default: the runs' own")
    exclude: list[str] = Field([], description="runs to leave out, as patterns of file names: `sub-03_task-pie_*`")
    story: Literal["task", "run"] = Field(
        "task", description="task: a task is a story, further runs of it are repeats; run: every run is a story"
    )
    word_column: str = Field("word", description="column of the events that holds the words")
    trial_type: str = Field("word", description="only events of this trial_type are words, if any has it")
    onset_tolerance_s: float = Field(0.1, ge=0, description="how far the runs of a story may differ in word onsets")
    length_tolerance: int = Field(
        5, ge=0, description="TRs by which runs of a story may differ; they are cut to the shortest"
    )
    trim: tuple[int, int] = Field((0, 0), description="TRs to leave out at the start and the end of every run")
    detrend: bool = Field(True, description="take out a straight line")
    high_pass_hz: float | None = Field(0.008, gt=0, description="take out slower cosines; null: don't")
    confounds: list[str] = Field([], description="columns of fMRIPrep's confounds to take out")
    standardize: bool = Field(True, description="mean 0 and variance 1 per run and voxel")

    @model_validator(mode="after")
    def _trim_is_not_negative(self) -> BidsSettings:
        if min(self.trim) < 0:
            raise ValueError("`trim` counts TRs to leave out, 0 or more")
        return self


class DatasetSettings(Section):
    """Which stories and responses are read, and how they are split (stage `dataset`)."""

    name: str
    adapter: Literal["ds003020", "lebel_pcs", "folder", "bids"]
    path: Path
    bids: BidsSettings = BidsSettings()
    subjects: list[str] = Field(min_length=1)
    test_stories: list[str] = Field(min_length=1)
    train_stories: list[str] | Literal["all", "shared"] = Field(
        "all", description="a list, `all` others, or those `shared` by every subject"
    )
    words_tier: str | int | list[str | int] | None = Field(
        None,
        description="the tier of TextGrids that holds the words: a name, a pattern (`* - words`) or a number from 1; a "
        "list or a pattern joins several; default: told from names and labels",
    )
    marks: list[str] = Field(
        [],
        description="labels that are no words, beyond the marks that are known (docs/datasets.md)",
    )

    @model_validator(mode="after")
    def _bids_belongs_to_its_adapter(self) -> DatasetSettings:
        if self.adapter != "bids" and self.bids != BidsSettings():
            raise ValueError(f"section `bids` belongs to adapter `bids`, not `{self.adapter}`")
        return self


class SegmentationSettings(Section):
    """One way to cut text: each word, the words of a TR, or sentences, with context before and after."""

    kind: Literal["words", "tr", "sentence"]
    before: int = Field(0, ge=0, description="words, TRs or sentences (by kind) of context before")
    after: int = Field(0, ge=0, description="the same after")
    mark: bool = Field(False, description="put the segment itself in [[double square brackets]] inside its context")
    pause_s: float = Field(0.5, gt=0, description="a pause this long ends a sentence where no transcript says so")
    max_words: int = Field(40, ge=2, description="longest sentence that pauses may cut")


class QuestionsSettings(Section):
    """Where the bank and its sets are (stage `questions`)."""

    bank: Path = Path("data/questions")
    duplicate_similarity: float = Field(0.9, gt=0, le=1, description="word overlap above which a question is rejected")
