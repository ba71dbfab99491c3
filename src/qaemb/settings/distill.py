"""Settings of students and of their training (stage `distill`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from qaemb.settings.base import KindSection, Section

_Part = TypeVar("_Part", bound=Section)


class FinetuneSettings(Section):
    """How an encoder is trained together with its heads, by adapters of low rank (kind `heads`).

    Every linear map of the encoder gets an adapter. A step takes `batch_texts` texts; an epoch visits each text once.
    Both learning rates rise over the first `warmup` share of the course and then fall linearly to 0 at the end of the
    epochs or of the `minutes`, whichever is nearer.
    """

    rank: int = Field(8, ge=1, description="of the adapters of each linear map")
    scale: float = Field(2.0, gt=0, description="of the adapters (alpha / rank)")
    epochs: float = Field(3.0, gt=0, description="visits of each text, at most")
    batch_texts: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0, description="of the adapters")
    head_rate: float = Field(3e-3, ge=0, description="learning rate of the heads; 0: they stay as they are")
    warmup: float = Field(0.05, ge=0, lt=1)
    patience: int = Field(3, ge=1, description="evaluations without a better held-out loss that end training")
    minutes: float | None = Field(None, gt=0, description="ends training after this time")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: as many as there are")
    seed: int = Field(0, ge=0, description="default: the student's")


class LmSettings(Section):
    """How a causal language model is trained to answer (kind `lm`).

    Cells: a step takes `texts_per_batch` texts and asks `questions_per_text` questions of each. `balance`: "none" asks
    known questions at random; "weights" weighs each question's yes and no cells so that both count the same;
    "sampling" asks, of each text, half of its questions where the teacher said yes (as far as there are so many) and
    half where it said no: cheaper, as rare yes cells are met more often, but margins are then shifted towards yes.

    Loss: binary cross-entropy of the margin, plus `mass_weight` times -log(P(yes) + P(no)) of each text's first
    question, which keeps the model answering yes or no.

    Course: `epochs` visits of each text, or less where `minutes` end it; the learning rate rises over the first
    `warmup` steps and then falls linearly to 0 at the end of the steps or the minutes, whichever is nearer. Every
    `evaluate_every` steps, and at the end, the mean AUC over questions is measured on `validation_texts` texts of the
    held-out stories; after `patience` such figures without a new best one, training stops.
    """

    prompt: str = Field("text_first", description="a prompt with the text before the question")
    n_layers: int | None = Field(None, ge=1, description="keep the first layers only; default: all")
    rank: int = Field(16, ge=1, description="of the adapters of each linear map")
    scale: float = Field(2.0, gt=0, description="of the adapters (alpha / rank)")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the adapters")
    texts_per_batch: int = Field(8, ge=1)
    questions_per_text: int = Field(24, ge=1, description="packed into one sequence with their text")
    balance: Literal["none", "weights", "sampling"] = Field("none", description="default: by the student's `balance`")
    mass_weight: float = Field(0.1, ge=0)
    epochs: float = Field(1.0, gt=0)
    minutes: float | None = Field(None, gt=0, description="ends training after this time")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: int = Field(20, ge=0, description="steps")
    clip: float = Field(1.0, gt=0, description="norm that gradients are clipped to")
    held_out_share: float = Field(0.12, gt=0, lt=1, description="of the stories; default: the student's")
    validation_texts: int = Field(200, ge=1)
    evaluate_every: int = Field(200, ge=1)
    patience: int = Field(5, ge=1)
    checkpoint_seconds: float = Field(60.0, ge=0, description="between checkpoints")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of the base model's weights and computation")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: as many as there are")
    seed: int = Field(0, ge=0, description="default: the student's")


class StudentSettings(KindSection):
    """One student, of any kind: on which model, who teaches it, and on which texts."""

    kind: str = Field(description="heads: the taught questions; conditioned: any question; both; lm: a language model")
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
        return self


class HeadsStudent(StudentSettings):
    """A student with a head for each taught question."""

    kind: Literal["heads"]
    finetune: FinetuneSettings | None = Field(None, description="train the encoder, too")

    @property
    def finetuning(self) -> FinetuneSettings | None:
        """How the encoder is trained; the student's `seed` where section `finetune` has none."""
        return self.finetune and _completed(self.finetune, {"seed": self.seed})


class _ConditionedStudent(StudentSettings):
    """A student that scores any question, with heads beside (`both`) or without."""

    kind: Literal["conditioned", "both"]


class LmStudent(StudentSettings):
    """A student that is a causal language model."""

    kind: Literal["lm"]
    lm: LmSettings = LmSettings()

    @property
    def training(self) -> LmSettings:
        """How the model is trained; the student's `balance`, `held_out_share`, `seed` where section `lm` has none."""
        balance = "weights" if self.balance else "none"
        shared = {"balance": balance, "held_out_share": self.held_out_share, "seed": self.seed}
        return _completed(self.lm, shared)


def _completed(section: _Part, values: dict[str, Any]) -> _Part:
    return section.model_copy(update={key: values[key] for key in values.keys() - section.model_fields_set})


_Student = Annotated[HeadsStudent | _ConditionedStudent | LmStudent, Field(discriminator="kind")]


class DistillSettings(Section):
    """The students that are trained, by name."""

    students: dict[str, _Student] = Field(default_factory=dict)
