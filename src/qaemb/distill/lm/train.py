"""Training a language model to answer as a teacher does: from a base model and cells to a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from tqdm import tqdm

from qaemb.answers.answerer import cpu_threads
from qaemb.distill.cells import TeacherCells
from qaemb.distill.lm.adapter import merge_adapter, save_adapter
from qaemb.distill.lm.settings import LmTraining
from qaemb.files import atomic_folder, write_json

if TYPE_CHECKING:
    from qaemb.distill.lm.training import Training


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
    prompt: str,
    data: TeacherCells,
    settings: LmTraining,
    out: Path,
    checkpoint: Path | None = None,
) -> LmResult:
    """Train the model in folder `base` on a teacher's cells and write `out`: `model/`, `adapter/`, `training.json`.

    Some whole stories are held out to stop early; the parameters with the best mean AUC there are kept. A killed
    training goes on from `checkpoint` (default: a hidden file beside `out`) when it is started again with the same
    model, prompt, cells and settings (but for minutes, threads and checkpoint_seconds); without `minutes` it then gives
    the same as if it had not been killed.
    BadParameter, BadInput: a setting, prompt, model or cells that can't be trained with.
    """
    from qaemb.distill.lm.training import Training

    checkpoint = checkpoint or out.parent / f".{out.name}.checkpoint"
    with cpu_threads(settings.threads):
        training = Training(base, prompt, data, settings, checkpoint)
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


def _run(training: Training, settings: LmTraining) -> None:
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


def _figures(training: Training) -> dict[str, float]:
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


def _data(training: Training) -> dict[str, int]:
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
