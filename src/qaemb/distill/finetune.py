"""Training an encoder together with its heads: from heads on frozen vectors to ones on vectors that suit them better.

The encoder gets adapters of low rank (LoRA), which start at nothing, and the heads start as they were learnt on frozen
vectors, so that step 0 is the frozen student. All are trained on the heads' own loss (heads.py) by AdamW, without
dropout. Every half epoch the log loss on held-out stories is measured: the best state is kept, step 0 included, and
training stops where it no longer gets better. Held-out stories stay out of the training itself: without them nothing
would say when to stop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from qaemb.answers.students import Heads
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.distill.heads import Curve, HeadSettings
from qaemb.errors import BadInput, BadParameter
from qaemb.models.adapter import Adapter
from qaemb.models.inputs import cpu_threads

if TYPE_CHECKING:
    from qaemb.distill.finetune_model import State, Tuner

_EVALUATIONS = 2  # per epoch


@dataclass(frozen=True)
class Finetuning:
    """How the encoder in `folder` is trained; BadParameter names a number that is out of range.

    Every linear map gets an adapter of `rank`, scaled by `scale` (alpha / rank). A step takes `batch_texts` texts; an
    epoch visits each text once. `learning_rate` is that of the adapters, the heads have `head_rate`; both rise over the
    first `warmup` share of the course and then fall linearly to 0 at the end of the epochs or of the `minutes`,
    whichever is nearer. After `patience` evaluations without a better held-out loss training ends.
    """

    folder: Path
    rank: int = 8
    scale: float = 2.0
    epochs: float = 3.0
    batch_texts: int = 64
    learning_rate: float = 1e-3
    head_rate: float = 1e-2
    warmup: float = 0.05
    patience: int = 3
    minutes: float | None = None
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "scale", "epochs", "batch_texts", "learning_rate", "patience", "minutes", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadParameter(f"finetune: {name} is {value}; give a number above 0")
        if not self.head_rate >= 0:
            raise BadParameter(f"finetune: head_rate is {self.head_rate}; give 0 or more")
        if not 0 <= self.warmup < 1:
            raise BadParameter(f"finetune: warmup is {self.warmup}; give a share from 0 up to, not including, 1")


@dataclass(frozen=True, eq=False)
class Task:
    """What one reader is to learn: cells, the rows to learn from and those held out, and the heads to start from.

    `heads` were learnt on frozen vectors of the rows `fit`, linear ones with `penalty`; `context`: texts are read as
    before, segment, after.
    """

    context: bool
    cells: TeacherCells
    fit: Rows
    held_out: Rows
    heads: Heads
    penalty: float = 0.0


@dataclass(frozen=True, eq=False)
class Tuned:
    """The best state: the encoder's adapter, None where no step was better than the start; and each task's heads.

    `curve`: per evaluation `step`, `minutes`, `held_out_log_loss` (nats per cell, mean over tasks), and after step 0
    `train_log_loss`, the mean over the steps since the last.
    """

    adapter: Adapter | None
    heads: list[Heads]
    step: int
    curve: Curve

    @property
    def held_out_log_loss(self) -> float:
        """The best state's loss, nats per cell, the mean over tasks."""
        return min(row["held_out_log_loss"] for row in self.curve)


def finetune(tasks: Sequence[Task], head: HeadSettings, settings: Finetuning) -> Tuned:
    """Return adapter and heads that predict the held-out rows of the tasks best, never worse than the start does.

    All tasks share one adapter. Same seed, machine and threads: the same result, unless `minutes` end it. BadInput if
    heads and encoder do not fit together, or there is nothing to learn from; QaembError where training diverges.
    """
    from qaemb.distill.finetune_model import Tuner

    for task in tasks:
        if not task.cells.known[task.fit].any() or not task.cells.known[task.held_out].any():
            raise BadInput("fine-tuning needs known cells in train and in held-out stories; answer more texts")
    with cpu_threads(settings.threads):
        tuner = Tuner(tasks, head, settings)
        step, state, curve = _run(tuner, settings)
        adapter = tuner.adapter(state) if step else None
        return Tuned(adapter, tuner.heads(state), step, curve)


def _run(tuner: Tuner, settings: Finetuning) -> tuple[int, State, Curve]:
    """Return the number of the best step, its state, and the curve."""
    begin = time.monotonic()
    losses: list[float] = []
    steps = tuner.batches(settings.epochs)
    every = max(1, round(len(steps) / settings.epochs / _EVALUATIONS))
    curve: Curve = [{"step": 0, "minutes": 0.0, "held_out_log_loss": tuner.held_out_loss()}]
    best = 0, tuner.state()
    with tqdm(steps, desc="finetune", unit="step") as bar:
        bar.set_postfix(held_out=f"{curve[0]['held_out_log_loss']:.4f}")
        for step, batch in enumerate(bar, start=1):
            spent = (time.monotonic() - begin) / 60
            progress = max((step - 1) / len(steps), spent / settings.minutes if settings.minutes else 0.0)
            losses.append(tuner.step(batch, min(progress, 1.0)))
            is_last = step == len(steps) or progress >= 1
            if step % every and not is_last:
                continue
            loss, minutes = tuner.held_out_loss(), (time.monotonic() - begin) / 60
            if loss < min(row["held_out_log_loss"] for row in curve):
                best = step, tuner.state()
            mean = sum(losses) / len(losses)
            curve.append({"step": step, "minutes": minutes, "held_out_log_loss": loss, "train_log_loss": mean})
            losses = []
            bar.set_postfix(held_out=f"{loss:.4f}", train=f"{mean:.4f}")
            if is_last or _stale(curve) >= settings.patience:
                break
    return *best, curve


def _stale(curve: Curve) -> int:
    """Return how many evaluations back the best loss lies."""
    losses = [row["held_out_log_loss"] for row in curve]
    return len(losses) - 1 - losses.index(min(losses))
