"""Training an encoder together with its heads: from heads on frozen vectors to ones on vectors that suit them better.

The encoder gets adapters of low rank (LoRA), which start at nothing, and the heads start as they were learnt on frozen
vectors, so that step 0 is the frozen student. All are trained on the heads' own loss (heads.py) by AdamW, without
dropout. Every half epoch the log loss on held-out stories is measured: the best state is kept, step 0 included, and
training stops where it no longer gets better. Held-out stories stay out of the training itself: without them nothing
would say when to stop. The module defines a training in torch: import it only where an encoder is trained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, gelu
from tqdm import tqdm

from qaemb.answers.students import Heads, Layer
from qaemb.answers.students.reading import pieces
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.distill.heads import Curve, HeadSettings, cell_weights, log_loss, targets
from qaemb.errors import BadInput, QaembError
from qaemb.models.adapter import Adapter
from qaemb.models.encoder import Encoder
from qaemb.models.inputs import cpu_threads, length_batches
from qaemb.settings import FinetuneSettings

_EVALUATIONS = 2  # per epoch


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


def finetune(tasks: Sequence[Task], head: HeadSettings, settings: FinetuneSettings, model: Path) -> Tuned:
    """Return adapter of the encoder in folder `model`, and heads, that predict held-out rows best; at worst the start.

    All tasks share one adapter. Same seed, machine and threads: the same result, unless `minutes` end it. BadInput if
    heads and encoder do not fit together, or there is nothing to learn from; QaembError where training diverges.
    """
    for task in tasks:
        if not task.cells.known[task.fit].any() or not task.cells.known[task.held_out].any():
            raise BadInput("fine-tuning needs known cells in train and in held-out stories; answer more texts")
    with cpu_threads(settings.threads):
        tuner = _Tuner(tasks, head, settings, model)
        step, state, curve = _run(tuner, settings)
        adapter = tuner.adapter(state) if step else None
        return Tuned(adapter, tuner.heads(state), step, curve)


def _run(tuner: _Tuner, settings: FinetuneSettings) -> tuple[int, _State, Curve]:
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


_State = dict[str, Tensor]
"""Copies of all that is trained, by name."""

_Batch = tuple[int, Rows]
"""A task's number, and rows of its cells."""

_PASS_TOKENS = 256  # of one pass, sorted by length, so that little is padded; on a CPU larger ones are slower
_CLIP = 1.0  # of the gradients' norm
_RUN = 8  # texts with context that follow each other stay together: what one has after it the next one is


@dataclass(frozen=True, eq=False)
class _Lesson:
    """A task on tensors: `places` (texts, parts) numbers of pieces, -1 where a part has no words."""

    task: Task
    places: NDArray[np.int64]
    labels: Tensor
    weight: Tensor
    shift: Tensor


class _Tuner:
    """What is trained, and one step of it."""

    def __init__(self, tasks: Sequence[Task], head: HeadSettings, settings: FinetuneSettings, folder: Path) -> None:
        from peft import LoraConfig, get_peft_model

        self._settings = settings
        self._encoder = Encoder(folder, settings.threads)
        model = self._encoder.model
        self._device, self._width = model.device, self._encoder.width
        maps = [
            name
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and not name.startswith("pooler")  # which a mean does not use
        ]
        if not maps:
            raise BadInput(f"model `{self._encoder.name}` has no linear maps to adapt; leave `finetune` out")
        torch.manual_seed(settings.seed)
        alpha = settings.scale * settings.rank
        config = LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=maps)  # type: ignore[arg-type]
        get_peft_model(model, config).eval()  # puts the adapters into the model itself; no dropout
        self._lora = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._heads = [_head_tensors(task.heads, self._device) for task in tasks]
        self._tokens: list[list[int]] = []
        self._lessons = self._prepare(tasks, head)
        head_values = [value for heads in self._heads for value in heads.values()]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(self._lora.values()), "rate": settings.learning_rate},
                {"params": head_values, "rate": settings.head_rate, "weight_decay": 0.0},  # the penalty is in the loss
            ]
        )

    def batches(self, epochs: float) -> list[_Batch]:
        """Return the texts of every step, an order of its own for each epoch; no step mixes tasks."""
        steps: list[_Batch] = []
        per_epoch = 1
        for epoch in range(int(np.ceil(epochs))):
            rng = np.random.default_rng([self._settings.seed, epoch])
            batches = [(number, rows) for number, task in enumerate(self._lessons) for rows in self._batches(task, rng)]
            per_epoch = len(batches)
            steps += [batches[place] for place in rng.permutation(per_epoch)]
        return steps[: max(1, round(epochs * per_epoch))]

    def step(self, batch: _Batch, progress: float) -> float:
        """Train on some rows; return their mean log loss, nats per cell. `progress`: of the whole course, 0 to 1."""
        number, rows = batch
        lesson, heads = self._lessons[number], self._heads[number]
        margin = _margins(self._vectors(lesson.places[rows]), heads)
        data = self._loss(lesson, rows, margin)
        loss = data + 0.5 * lesson.task.penalty * (heads["weight"] ** 2).sum() / margin.shape[1]
        if not torch.isfinite(loss):
            raise QaembError(f"fine-tuning diverges: the loss is {loss.item()}; lower learning_rate and head_rate")
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * _rate(progress, self._settings.warmup)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in self._optimizer.param_groups for p in group["params"]], _CLIP)
        self._optimizer.step()
        return data.item()

    def held_out_loss(self) -> float:
        """Return the log loss of held-out rows, nats per known cell, the mean over tasks."""
        losses = []
        for lesson, heads in zip(self._lessons, self._heads, strict=True):
            rows = lesson.task.held_out
            with torch.inference_mode():
                margin = _margins(self._vectors(lesson.places[rows]), heads).cpu().numpy()
            losses.append(log_loss(margin, lesson.labels[rows].cpu().numpy(), lesson.task.cells.known[rows]))
        return float(np.mean(losses))

    def state(self) -> _State:
        """Return a copy of all that is trained, on the CPU."""
        named = {f"{i}.{name}": value for i, heads in enumerate(self._heads) for name, value in heads.items()}
        return {name: value.detach().cpu().clone() for name, value in {**self._lora, **named}.items()}

    def adapter(self, state: _State) -> Adapter:
        """Return the adapter of a state."""
        maps = {}
        for name in self._lora:
            if ".lora_A." in name:
                a, b = state[name], state[name.replace(".lora_A.", ".lora_B.")]
                maps[name.split(".lora_A.")[0]] = (a.numpy(), b.numpy())
        return Adapter(self._encoder.name, self._settings.rank, self._settings.scale * self._settings.rank, maps)

    def heads(self, state: _State) -> list[Heads]:
        """Return the heads of a state, a task each."""
        return [
            _read_heads({name: state[f"{number}.{name}"].numpy() for name in heads})
            for number, heads in enumerate(self._heads)
        ]

    def _prepare(self, tasks: Sequence[Task], head: HeadSettings) -> list[_Lesson]:
        """Tokenise every piece of text once, and put labels and weights of cells on the device."""
        read = [[pieces(text, task.context) for text in task.cells.texts] for task in tasks]
        distinct = list(dict.fromkeys(piece for rows in read for row in rows for piece in row if piece))
        self._tokens = self._encoder.token_ids(distinct)
        number = {piece: place for place, piece in enumerate(distinct)}
        lessons = []
        for task, rows in zip(tasks, read, strict=True):
            places = np.array([[number.get(piece, -1) for piece in row] for row in rows])
            self._check(task, places.shape[1] * self._width)
            labels, _ = targets(task.cells, head.hard)
            share, rate = cell_weights(task.cells.rows(task.fit), labels[task.fit], head.balance)
            weight = np.zeros(labels.shape, np.float32)
            weight[task.fit] = share * len(task.fit)
            shift = np.log(rate / (1 - rate)) if head.balance else np.zeros(len(rate))
            lessons.append(_Lesson(task, places, *(self._put(values) for values in (labels, weight, shift))))
        return lessons

    def _put(self, values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self._device)

    def _check(self, task: Task, width: int) -> None:
        first = task.heads.hidden.weight if task.heads.hidden else task.heads.weight
        shape = (len(first), task.heads.weight.shape[1])
        if shape != (width, len(task.cells.questions)):
            raise BadInput(
                f"heads of {shape[0]} inputs and {shape[1]} questions can't start a training on model "
                f"`{self._encoder.name}` with {width} inputs and {len(task.cells.questions)} questions; learn them on "
                "its vectors"
            )

    def _batches(self, lesson: _Lesson, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch, in an order of the generator; rows of which nothing is known are left out."""
        fit = lesson.task.fit[lesson.task.cells.known[lesson.task.fit].any(axis=1)]
        run = _RUN if lesson.task.context else 1
        runs = np.split(fit, range(run, len(fit), run))
        order = np.concatenate([runs[place] for place in rng.permutation(len(runs))])
        n = self._settings.batch_texts
        return np.split(order, range(n, len(order), n))

    def _vectors(self, places: NDArray[np.int64]) -> Tensor:
        """Return (texts, D) vectors; a piece that several of the texts share goes through the encoder once."""
        distinct, inverse = np.unique(places, return_inverse=True)
        inverse = inverse.reshape(places.shape)
        table = torch.zeros(len(distinct), self._width, device=self._device)
        real = np.flatnonzero(distinct >= 0)
        rows = [self._tokens[number] for number in distinct[real]]
        for batch in length_batches([len(row) for row in rows], _PASS_TOKENS):
            embedded = self._encoder.forward([rows[number] for number in batch])
            table = table.index_copy(0, torch.from_numpy(real[batch]).to(self._device), embedded)
        return table[torch.from_numpy(inverse).to(self._device)].reshape(len(places), -1)

    def _loss(self, lesson: _Lesson, rows: Rows, margin: Tensor) -> Tensor:
        """Return the mean log loss of some rows, each cell with its weight; cells that are not known weigh 0."""
        numbers = torch.from_numpy(rows).to(self._device)
        cell = binary_cross_entropy_with_logits(margin - lesson.shift, lesson.labels[numbers], reduction="none")
        return (lesson.weight[numbers] * cell).mean()


def _rate(progress: float, warmup: float) -> float:
    """Return the share of the learning rate: up over the warmup, then down to 0 at the end."""
    up = min(1.0, (progress + 1e-3) / warmup) if warmup else 1.0
    return up * (1 - progress)


def _head_tensors(heads: Heads, device: torch.device) -> dict[str, Tensor]:
    hidden = {"hidden_weight": heads.hidden.weight, "hidden_bias": heads.hidden.bias} if heads.hidden else {}
    arrays = {"weight": heads.weight, "bias": heads.bias, **hidden}
    return {name: torch.tensor(values, device=device, requires_grad=True) for name, values in arrays.items()}


def _read_heads(arrays: dict[str, NDArray[np.float32]]) -> Heads:
    hidden = Layer(arrays["hidden_weight"], arrays["hidden_bias"]) if "hidden_weight" in arrays else None
    return Heads(arrays["weight"], arrays["bias"], hidden)


def _margins(vectors: Tensor, heads: dict[str, Tensor]) -> Tensor:
    """Return (texts, questions), as Heads.margins does."""
    if "hidden_weight" in heads:
        vectors = gelu(vectors @ heads["hidden_weight"] + heads["hidden_bias"])
    return vectors @ heads["weight"] + heads["bias"]
