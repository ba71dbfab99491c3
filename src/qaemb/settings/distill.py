"""Settings of students and of their training (stage `distill`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qaemb.settings.base import Section


class FinetuneSettings(Section):
    """How an encoder is trained together with its heads, by adapters of low rank (kind `heads`)."""

    rank: int = Field(8, ge=1, description="of the adapters of each linear map")
    epochs: float = Field(3.0, gt=0, description="visits of each text, at most")
    learning_rate: float = Field(1e-3, gt=0, description="of the adapters")
    head_rate: float = Field(3e-3, ge=0, description="learning rate of the heads; 0: they stay as they are")
    batch_texts: int = Field(64, ge=1)
    minutes: float | None = Field(None, gt=0, description="ends training after this time")


class LmSettings(Section):
    """How a causal language model is trained to answer (kind `lm`)."""

    prompt: str = Field("text_first", description="a prompt with the text before the question")
    rank: int = Field(16, ge=1, description="of the adapters of each linear map")
    n_layers: int | None = Field(None, ge=1, description="keep the first layers only; default: all")
    texts_per_batch: int = Field(8, ge=1)
    questions_per_text: int = Field(24, ge=1, description="packed into one sequence with their text")
    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    minutes: float | None = Field(None, gt=0, description="ends training after this time")


class StudentSettings(Section):
    """One student: what kind, on which model, who teaches it, and on which texts."""

    kind: Literal["heads", "conditioned", "both", "lm"] = Field(
        description="heads: the taught questions; conditioned: any question; both; lm: a language model"
    )
    model: str = Field(description="heads, conditioned, both: an encoder of section `model`; lm: a causal model")
    input: Path = Field(description="what the DVC stage depends on: the job's validation, or data/work/dataset")
    job: str | None = Field(None, description="teacher: an answers job")
    published: str | None = Field(None, description="teacher, in place of `job`: answers that the data set publishes")
    segmentations: list[str] = Field(
        [], description="with `published`: kind tr; one without marks, one with `mark: true`, or both"
    )
    question_map: Path | None = Field(None, description="YAML: teacher's question id -> a question of the bank")
    hard: bool = Field(False, description="learn yes or no in place of the teacher's probabilities")
    balance: bool = Field(False, description="give yes and no of a question the same weight")
    hidden: int | None = Field(None, ge=1, description="units of a hidden layer under the heads; default: linear heads")
    learnt_share: float = Field(
        1.0, ge=0, le=1, description="conditioned: of the learnt score; the rest of it is left to similarity"
    )
    least_auc: float = Field(0.6, ge=0.5, le=1, description="a question whose lower bound is below is abstained from")
    held_out_share: float = Field(0.12, gt=0, lt=1, description="of train stories, for every choice")
    finetune: FinetuneSettings | None = Field(None, description="kind heads: train the encoder, too")
    lm: LmSettings = LmSettings()
    licence: str = Field("", description="of the teacher's answers, for the card")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_teacher(self) -> StudentSettings:
        if (self.job is None) == (self.published is None):
            raise ValueError("a student has one teacher: `job`, or `published`")
        if (self.published is None) != (not self.segmentations):
            raise ValueError("`segmentations` belong to `published`, and it needs one or two; a job has its own")
        if len(set(self.segmentations)) < len(self.segmentations) or len(self.segmentations) > 2:
            raise ValueError("`segmentations` are one or two different names")
        if self.finetune and self.kind != "heads":
            raise ValueError("`finetune` belongs to kind `heads`")
        return self


class DistillSettings(Section):
    """The students that are trained, by name."""

    students: dict[str, StudentSettings] = Field(default_factory=dict)
