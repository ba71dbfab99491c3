"""Settings of the stages that make data: `miniature`, `dataset`, `segments`, `questions`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from qaemb.settings.base import Section


class MiniatureSettings(Section):
    """The generator of the data set `miniature` (stage `miniature`)."""

    seed: int = 1
    n_subjects: int = Field(3, ge=1, le=9)
    n_voxels: int = Field(600, ge=50, le=10_000, description="voxels per subject")
    signal_to_noise: float = Field(0.5, gt=0, description="variance of signal over noise in one repeat, signal voxels")
    noise_ar: float = Field(0.4, ge=0, lt=1, description="AR(1) coefficient of the noise")
    n_repeats: list[int] = Field([10, 5, 5], description="repeats of each test story, by subject")


def _is_section(value: Any) -> Any:
    if value is None or isinstance(value, Mapping):
        return value
    raise PydanticCustomError("extra_forbidden", "Extra inputs are not permitted")


class DatasetSettings(Section):
    """Which stories and responses are read, and how they are split (stage `dataset`).

    An adapter may have a section of its own here, under its name. What may stand in it is said beside the adapter, so
    `datasets.registry` checks it, and the name of the adapter, before anything is read.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_is_section)]]

    name: str
    adapter: str
    path: Path
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

    @property
    def adapter_sections(self) -> dict[str, Any]:
        """The sections of adapters as they stand in params.yaml, not yet checked."""
        return self.__pydantic_extra__


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
