"""Training a language model to answer as a teacher does: from a base model and cells to a model folder.

The state of a training is one file that is replaced as a whole, so that a killed training goes on.
The module works in torch: import it only where a model is trained.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from qaemb.answers.packing import Pack
from qaemb.distill.cells import TeacherCells, split_groups
from qaemb.distill.grades import question_aucs
from qaemb.distill.lm.adapter import AdapterInfo, merge_adapter, save_adapter
from qaemb.distill.lm.batches import Sampler, batch, pack_text, validation_sample
from qaemb.distill.lm.student import LmStudent, cross_entropy
from qaemb.errors import BadInput, QaembError
from qaemb.files import atomic_file, atomic_folder, write_json
from qaemb.identity import json_id
from qaemb.models.inputs import cpu_threads
from qaemb.settings import LmSettings

_NOT_OF_KEY = ("minutes", "threads", "checkpoint_seconds")  # with these changed, a checkpoint still goes on


@dataclass
class _Course:
    """Where a training stands: what was done, how long it took (s), and what was measured.

    CPU seconds are those of all threads; on a shared machine they say more about the work than seconds do.
    `curve`: one entry for each evaluation. `best_auc` and `best_step` belong to the parameters `best`; `stale` counts
    the evaluations since then. `loss_sum` is over the `loss_steps` steps since the last evaluation.
    """

    step: int = 0
    cells: int = 0
    tokens: int = 0
    texts: int = 0
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    training_cpu_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_auc: float = -1.0
    best_step: int = 0
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds spent, in all runs together."""
        return self.training_seconds + self.evaluation_seconds


@dataclass(frozen=True)
class _Checkpoint:
    """The course, the parameters that are trained, by name, and the optimizer's state."""

    course: _Course
    learnt: dict[str, Tensor]
    optimizer: dict[str, Any]


def _identity(about: dict[str, Any], data: TeacherCells) -> str:
    """Return the hash of all that a training depends on: what it is about (JSON-able), and its cells."""
    digest = hashlib.sha256()
    for values in (data.texts, data.questions, data.groups):
        digest.update(json_id(values).encode())
    digest.update(data.labels.tobytes() + data.known.tobytes())
    return json_id({**about, "cells": digest.hexdigest()})


def _save_checkpoint(path: Path, key: str, state: _Checkpoint) -> None:
    """Write the state atomically; `key` names the training that it belongs to."""
    course = {item.name: getattr(state.course, item.name) for item in fields(_Course)}
    with atomic_file(path) as temporary:
        torch.save({"key": key, "course": course, "learnt": state.learnt, "optimizer": state.optimizer}, temporary)


def _load_checkpoint(path: Path, key: str) -> _Checkpoint | None:
    """Return the state of the training `key`; None where there is none, or only that of another training.

    A damaged checkpoint counts as none: a checkpoint may be lost, never wrong.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["key"] != key:
            return None
        return _Checkpoint(_Course(**state["course"]), state["learnt"], state["optimizer"])
    except Exception:  # torch raises errors of many kinds for a damaged file
        return None


class _Training:
    """What is fixed in a training, and its `course` so far."""

    def __init__(self, base: Path, data: TeacherCells, settings: LmSettings, checkpoint: Path) -> None:
        train, held_out = split_groups(data.groups, settings.held_out_share, settings.seed)
        self.train = data.rows(train)
        self.sample = _sample(data.rows(held_out), settings)
        self.sampler = Sampler(self.train, settings)
        self.student = LmStudent(base, settings)
        frame = self.student.frame
        self.adapter = AdapterInfo.of(frame.info, settings.n_layers, frame.prompt.content())
        # Without the prompt's name: the adapter has its content, and the name may be a path of this machine.
        used = settings.model_dump(mode="json", exclude={"prompt"})
        self.about: dict[str, Any] = {"adapter": asdict(self.adapter), "settings": used}
        self.rendered = frame.renderer.render(self.train.texts, data.questions)
        self._rendered_sample = frame.renderer.render(self.sample.texts, data.questions)
        self._settings, self._checkpoint = settings, checkpoint
        of_key = {name: value for name, value in used.items() if name not in _NOT_OF_KEY}
        self._key = _identity({**self.about, "settings": of_key}, data)
        self._learnt = self.student.learnt()
        self._optimizer = torch.optim.AdamW(
            self._learnt.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.course = _Course()

    def begin(self) -> None:
        """Go on from the checkpoint, or evaluate the model as it is before the first step."""
        state = _load_checkpoint(self._checkpoint, self._key)
        if state is None:
            self.student.check_alike(self._rendered_sample)
            self.evaluate()
            return
        self.course = state.course
        self.put(state.learnt)
        self._optimizer.load_state_dict(state.optimizer)

    def is_over(self) -> bool:
        """Return whether the steps or the minutes are used up, or the figures have stopped getting better."""
        return self._progress() >= 1 or self.course.stale >= self._settings.patience

    def step(self) -> float:
        """Take one step; return its loss, without the mass. QaembError where it is not finite."""
        begin_cpu = time.process_time()
        with self._timed("training_seconds"):
            step = self.sampler.step(self.course.step)
            packed = batch(
                [self._tree(text, questions) for text, questions in zip(step.texts, step.questions, strict=True)]
            )
            torch.manual_seed(1_000_003 * self._settings.seed + self.course.step)  # dropout
            self.student.peft.train()
            margin, log_mass = self.student.forward(packed, with_mass=self._settings.mass_weight > 0)
            yes, no = (torch.from_numpy(values).to(margin.device) for values in (step.yes, step.no))
            loss = cross_entropy(margin, yes, no)
            self._descend(loss if log_mass is None else loss - self._settings.mass_weight * log_mass)
            value = loss.item()
        course = self.course
        course.training_cpu_seconds += time.process_time() - begin_cpu
        course.step += 1
        course.cells += len(step.yes)
        course.tokens += packed.n_tokens
        course.texts += len(step.texts)
        course.loss_sum += value
        course.loss_steps += 1
        return value

    def evaluate(self) -> None:
        """Measure on the held-out stories; keep the parameters if they are the best so far."""
        course, known = self.course, self.sample.known
        with self._timed("evaluation_seconds"):
            margins = self.student.margins(self._rendered_sample, self._settings.texts_per_batch)
        auc = float(np.nanmean(question_aucs(margins, self.sample)))
        labels = torch.from_numpy(self.sample.labels[known])
        loss = cross_entropy(torch.from_numpy(margins[known]), labels, 1 - labels)
        entry = {"step": course.step, "seconds": round(course.seconds, 1), "auc": auc, "held_out_loss": loss.item()}
        if course.loss_steps:
            entry["train_loss"] = course.loss_sum / course.loss_steps
        course.curve.append(entry)
        course.loss_sum, course.loss_steps = 0.0, 0
        course.stale += 1
        if auc > course.best_auc:
            course.best_auc, course.best_step, course.stale = auc, course.step, 0
            course.best = {name: value.detach().cpu().clone() for name, value in self._learnt.items()}

    def save(self) -> None:
        """Write the checkpoint."""
        learnt = {name: value.detach() for name, value in self._learnt.items()}
        _save_checkpoint(self._checkpoint, self._key, _Checkpoint(self.course, learnt, self._optimizer.state_dict()))

    def put(self, learnt: dict[str, Tensor]) -> None:
        """Set the parameters that are trained."""
        with torch.no_grad():
            for name, value in self._learnt.items():
                value.copy_(learnt[name])

    def _tree(self, text: int, questions: np.ndarray) -> Pack:
        """The prompts of a text as one tree, whatever its size."""
        endings = [self.rendered.suffixes[question] for question in questions]
        return pack_text(self.rendered.shared[text], endings, sum(map(len, endings)))[0]

    def _descend(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise QaembError(
                f"the loss is {loss.item()} at step {self.course.step}; lower learning_rate, or take dtype float32"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self._learnt.values()), self._settings.clip)
        self._optimizer.step()

    def _rate(self) -> float:
        """The learning rate of the next step: up over the warmup, then down to 0 at the end."""
        up = min(1.0, (self.course.step + 1) / max(1, self._settings.warmup))
        return self._settings.learning_rate * up * max(0.0, 1 - self._progress())

    def _progress(self) -> float:
        """How much of the steps, or of the minutes, is used up: 0 to 1, the larger."""
        spent = self.course.seconds / (60 * self._settings.minutes) if self._settings.minutes else 0.0
        return max(self.course.step / self.sampler.n_steps, spent)

    @contextmanager
    def _timed(self, what: Literal["training_seconds", "evaluation_seconds"]) -> Iterator[None]:
        begin = monotonic()
        yield
        setattr(self.course, what, getattr(self.course, what) + monotonic() - begin)


def _sample(held_out: TeacherCells, settings: LmSettings) -> TeacherCells:
    sample = validation_sample(held_out, settings.validation_texts, settings.seed)
    if np.isnan(question_aucs(np.zeros(sample.labels.shape), sample)).all():
        raise BadInput(
            f"in {len(sample.texts)} texts of held-out stories no question has both yes and no; raise validation_texts "
            "or held_out_share"
        )
    return sample


@dataclass(frozen=True)
class LmResult:
    """What a training made: folders `model` (for every engine) and `adapter`, and its figures (also in training.json).

    `curve`: one entry for each evaluation: step, seconds, and on held-out stories auc (mean over questions) and
    held_out_loss; train_loss is the mean over the steps since the last. `figures`: best_auc and best_step, what was
    done (steps, texts, cells, tokens), seconds, and, of the steps alone, texts_per_s, cells_per_s, tokens_per_s,
    training_seconds and training_cpu_seconds (of all threads).
    """

    model: Path
    adapter: Path
    curve: list[dict[str, float]]
    figures: dict[str, float]


def train_lm(
    base: Path,
    data: TeacherCells,
    settings: LmSettings,
    out: Path,
    checkpoint: Path | None = None,
) -> LmResult:
    """Train the model in folder `base` on a teacher's cells and write `out`: `model/`, `adapter/`, `training.json`.

    Some whole stories are held out to stop early; the parameters with the best mean AUC there are kept. A killed
    training goes on from `checkpoint` (default: a hidden file beside `out`) when it is started again with the same
    model, prompt, cells and settings (minutes, threads and checkpoint_seconds may differ). Without `minutes` the result
    is then that of a training that was not killed.
    BadParameter, BadInput: a setting, prompt, model or cells that can't be trained with.
    """

    checkpoint = checkpoint or out.parent / f".{out.name}.checkpoint"
    with cpu_threads(settings.threads):
        training = _Training(base, data, settings, checkpoint)
        _run(training, settings)
        figures, curve = _figures(training), training.course.curve
        training.put(training.course.best)
        with atomic_folder(out) as new:
            save_adapter(training.student.peft, training.adapter, new / "adapter")
            merge_adapter(base, new / "adapter", new / "model", out.name)
            about = {**training.about, "data": _data(training), "figures": figures, "curve": curve}
            write_json(new / "training.json", about)
    checkpoint.unlink(missing_ok=True)
    return LmResult(out / "model", out / "adapter", curve, figures)


def _run(training: _Training, settings: LmSettings) -> None:
    """Train to the end, with checkpoints on the way."""
    training.begin()
    training.save()
    saved = monotonic()
    with tqdm(total=training.sampler.n_steps, initial=training.course.step, desc="train lm", unit="step") as bar:
        while not training.is_over():
            loss = training.step()
            if training.course.step % settings.evaluate_every == 0:
                training.evaluate()
            if monotonic() - saved >= settings.checkpoint_seconds:
                training.save()
                saved = monotonic()
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", auc=f"{training.course.curve[-1]['auc']:.3f}")
    if training.course.curve[-1]["step"] != training.course.step:
        training.evaluate()
    training.save()


def _figures(training: _Training) -> dict[str, float]:
    course, seconds = training.course, max(training.course.training_seconds, 1e-9)
    return {
        "best_auc": course.best_auc,
        "best_step": course.best_step,
        "steps": course.step,
        "texts": course.texts,
        "cells": course.cells,
        "tokens": course.tokens,
        "seconds": round(course.seconds, 1),
        "texts_per_s": course.texts / seconds,
        "cells_per_s": course.cells / seconds,
        "tokens_per_s": course.tokens / seconds,
        "training_seconds": round(course.training_seconds, 1),
        "training_cpu_seconds": round(course.training_cpu_seconds, 1),
    }


def _data(training: _Training) -> dict[str, int]:
    """How much there was to learn from, and to measure on."""
    return {
        "questions": len(training.train.questions),
        "train_stories": len(set(training.train.groups)),
        "train_texts": training.sampler.n_texts,
        "train_cells": int(training.train.known.sum()),
        "train_texts_cut": training.rendered.n_cut,
        "held_out_stories": len(set(training.sample.groups)),
        "held_out_texts": len(training.sample.texts),
    }
