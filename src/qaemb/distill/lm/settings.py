"""How a language model is trained to answer as a teacher does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qaemb.errors import BadParameter


@dataclass(frozen=True)
class LmTraining:
    """Settings of `train_lm`; BadParameter names one that is out of range.

    Model: `n_layers` first layers are kept (None: all), each linear map in them gets a LoRA of `rank`, scaled by
    `scale` (alpha / rank), with `dropout`.

    Cells: a step takes `texts_per_batch` texts and asks `questions_per_text` questions of each. `balance`: "none" asks
    known questions at random; "weights" weighs each question's yes and no cells so that both count the same;
    "sampling" asks, of each text, half of its questions where the teacher said yes (as far as there are so many) and
    half where it said no: cheaper, as rare yes cells are met more often, but margins are then shifted towards yes.

    Loss: binary cross-entropy of the margin, plus `mass_weight` times -log(P(yes) + P(no)) of each text's first
    question, which keeps the model answering yes or no.

    Course: `epochs` visits of each text, or less where `minutes` end it; the learning rate rises over the first
    `warmup` steps and then falls linearly to 0 at the end of the steps or the minutes, whichever is nearer. Gradients
    are clipped to norm `clip`. Every `evaluate_every` steps, and at the end, the mean AUC over questions is measured on
    `validation_texts` texts of held-out stories (`held_out_share` of them); after `patience` such figures without a
    new best one, training stops. A checkpoint is written every `checkpoint_seconds`.

    `dtype` is that of the base model's weights, and of the computation; what is learnt is float32.
    """

    n_layers: int | None = None
    rank: int = 16
    scale: float = 2.0
    dropout: float = 0.0
    texts_per_batch: int = 8
    questions_per_text: int = 24
    balance: Literal["none", "weights", "sampling"] = "none"
    mass_weight: float = 0.1
    epochs: float = 1.0
    minutes: float | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: int = 20
    clip: float = 1.0
    held_out_share: float = 0.12
    validation_texts: int = 200
    evaluate_every: int = 200
    patience: int = 5
    checkpoint_seconds: float = 60.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            *("rank", "scale", "texts_per_batch", "questions_per_text", "epochs", "learning_rate", "clip"),
            *("validation_texts", "evaluate_every", "patience"),
        ):
            if not getattr(self, name) > 0:
                raise BadParameter(f"{name} is {getattr(self, name)}; give a number above 0")
        for name in ("n_layers", "minutes", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadParameter(f"{name} is {value}; give a number above 0, or none")
        for name in ("mass_weight", "weight_decay", "warmup", "checkpoint_seconds", "seed"):
            if not getattr(self, name) >= 0:
                raise BadParameter(f"{name} is {getattr(self, name)}; give 0 or more")
        if not 0 <= self.dropout < 1:
            raise BadParameter(f"dropout is {self.dropout}; give a share from 0 up to, not including, 1")
        if not 0 < self.held_out_share < 1:
            raise BadParameter(f"held_out_share is {self.held_out_share}; give a share of the stories between 0 and 1")
        for name, known in (("balance", ("none", "weights", "sampling")), ("dtype", ("float32", "bfloat16"))):
            if getattr(self, name) not in known:
                raise BadParameter(f"{name} is `{getattr(self, name)}`; give one of {', '.join(known)}")
