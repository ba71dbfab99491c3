"""Training a student on frozen vectors: choices on held-out train stories, a fit on all train stories, then grades.

Fine-tuning of the encoder, where it is on, starts from the heads of the stories that are not held out. The tuned heads
and the adapter are then the student. Its grades on frozen vectors stand beside the new ones.

Test stories are read once, at the end, for figures. They have no part in any choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.students import Conditioned, Heads, KnownQuestion, Reader, Student, Trust
from qaemb.answers.students.reading import text_vectors
from qaemb.distill.cells import Rows, TeacherCells, in_student_words, split_groups
from qaemb.distill.conditioned import (
    ConditionedSettings,
    FittedConditioned,
    QuestionVectors,
    fit_conditioned,
    refit_conditioned,
)
from qaemb.distill.grades import grade_student, least_similarity, trusted
from qaemb.distill.heads import (
    Curve,
    HeadSettings,
    HiddenSettings,
    fit_heads,
    fit_hidden,
    log_loss,
    refit_heads,
    refit_hidden,
    targets,
)
from qaemb.errors import BadParameter
from qaemb.models.encoder import Encoder
from qaemb.settings import FinetuneSettings

if TYPE_CHECKING:
    from qaemb.distill.finetune import Task, Tuned

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one reader learns from: vectors (T, D) of the texts of `cells`, with or without context."""

    context: bool
    vectors: Vectors
    cells: TeacherCells


@dataclass(frozen=True)
class Plan:
    """How a student is trained.

    `taught`: the student's wording of a question -> the teacher's questions that ask for it; None: the teacher's.
    `finetune`: how the encoder in the folder `model` is trained, too (kind heads); None: it stays as it is.
    """

    kind: str
    test_stories: Sequence[str]
    heads: HeadSettings = field(default_factory=HeadSettings)
    hidden: HiddenSettings | None = None
    conditioned: ConditionedSettings = field(default_factory=ConditionedSettings)
    least_auc: float = 0.6
    held_out_share: float = 0.12
    seed: int = 0
    taught: Mapping[str, Sequence[str]] | None = None
    finetune: FinetuneSettings | None = None
    model: Path | None = None


@dataclass(frozen=True, eq=False)
class Trained:
    """The student; per reader the grades on held-out train stories and on test stories, and the `choices`.

    Of a fine-tuned student `choices` has the figures on frozen vectors, too (frozen_...), and `curve` the training.
    """

    student: Student
    held_out: dict[str, pd.DataFrame]
    test: dict[str, pd.DataFrame]
    choices: dict[str, Any] = field(default_factory=dict)
    curve: Curve = field(default_factory=list)


def train_student(
    name: str, encoder: Mapping[str, Any], lessons: Sequence[Lesson], questions: QuestionVectors, plan: Plan
) -> Trained:
    """Return a student of kind heads, conditioned or both that stands on `encoder` (name, wheel, digest).

    `questions` are the vectors of the lessons' questions, which all lessons share in one order.
    """
    if plan.finetune and plan.kind != "heads":
        raise BadParameter(f"a student of kind {plan.kind} can't be fine-tuned; take kind `heads`")
    done = [_learn(lesson, questions, plan) for lesson in lessons]
    done, tuned = _finetuned(done, plan) if plan.finetune else (done, None)
    held_out = {_name(lesson): one.held_out for lesson, one in zip(lessons, done, strict=True)}
    weakest = pd.concat(held_out.values()).sort_values("auc", na_position="first").drop_duplicates("question")
    order = done[0].held_out["question"]
    table = weakest.set_index("question").loc[order].reset_index()
    unseen = [one.conditioned for one in done if one.conditioned]
    near = min(unseen, key=lambda fitted: fitted.mean_auc) if unseen else None
    trust = Trust(plan.least_auc, least_similarity(near.auc, near.similarity, plan.least_auc) if near else None)
    student = Student(
        name=name,
        encoder=encoder,
        questions=tuple(_known(table, trusted(table, plan.least_auc))) if plan.kind != "conditioned" else (),
        readers=tuple(one.reader for one in done),
        trust=trust,
        adapter=tuned.adapter if tuned else None,
    )
    return Trained(
        student,
        held_out,
        {_name(lesson): one.test for lesson, one in zip(lessons, done, strict=True) if one.test is not None},
        {_name(lesson): one.choices for lesson, one in zip(lessons, done, strict=True)},
        tuned.curve if tuned else [],
    )


@dataclass(frozen=True, eq=False)
class _Learnt:
    reader: Reader
    held_out: pd.DataFrame
    test: pd.DataFrame | None
    choices: dict[str, Any]
    conditioned: FittedConditioned | None
    task: Task | None  # what fine-tuning starts from


def _learn(lesson: Lesson, questions: QuestionVectors, plan: Plan) -> _Learnt:
    is_test = np.isin(lesson.cells.groups, list(plan.test_stories))
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    fit, held = split_groups(lesson.cells.rows(train).groups, plan.held_out_share, plan.seed)
    fit, held = train[fit], train[held]
    taught = lesson.cells if plan.taught is None else in_student_words(lesson.cells, plan.taught)
    choices: dict[str, Any] = {}
    heads: Heads | None = None
    conditioned: Conditioned | None = None
    fitted: FittedConditioned | None = None
    task: Task | None = None
    if plan.kind in ("heads", "both"):
        held_heads, heads, fit_choices = _fit_heads(lesson.vectors, taught, (train, fit, held), plan)
        held_margin, test_margin = held_heads.margins(lesson.vectors[held]), heads.margins(lesson.vectors[test])
        choices |= fit_choices
        if plan.finetune:
            from qaemb.distill.finetune import Task

            task = Task(lesson.context, taught, fit, held, held_heads, fit_choices.get("penalty", 0.0))
    if plan.kind in ("conditioned", "both"):
        fitted = fit_conditioned(lesson.vectors, lesson.cells, fit, held, questions, plan.conditioned)
        conditioned = refit_conditioned(lesson.vectors[train], lesson.cells.rows(train), questions, fitted)
        choices |= {f"conditioned_{key}": value for key, value in fitted.choice.items()}
        choices["left_out_questions_auc"] = fitted.mean_auc
    if heads is None:
        assert fitted is not None
        assert conditioned is not None
        taught = lesson.cells
        held_margin = fitted.conditioned.margins(lesson.vectors[held], questions.taught, questions.reference)
        test_margin = conditioned.margins(lesson.vectors[test], questions.taught, questions.reference)
    return _Learnt(
        Reader(lesson.context, heads, conditioned),
        grade_student(held_margin, taught.rows(held), plan.seed),
        grade_student(test_margin, taught.rows(test), plan.seed) if len(test) else None,
        choices,
        fitted,
        task,
    )


def _finetuned(done: Sequence[_Learnt], plan: Plan) -> tuple[list[_Learnt], Tuned]:
    """Tune the encoder and return the readers with the tuned heads and new grades; unchanged if tuning did not help."""
    from qaemb.distill.finetune import finetune

    assert plan.finetune is not None
    assert plan.model is not None
    tuned = finetune([one.task for one in done if one.task], plan.heads, plan.finetune, plan.model)
    encoder = Encoder(plan.model, plan.finetune.threads, tuned.adapter)
    return [_retaught(one, heads, tuned, encoder, plan) for one, heads in zip(done, tuned.heads, strict=True)], tuned


def _retaught(one: _Learnt, heads: Heads, tuned: Tuned, encoder: Encoder, plan: Plan) -> _Learnt:
    assert one.task is not None
    task = one.task
    frozen = {"frozen_held_out_auc": one.held_out["auc"].mean(), "finetune_steps": tuned.step}
    frozen["frozen_held_out_log_loss"] = one.choices["held_out_log_loss"]
    if one.test is not None:
        frozen["frozen_test_auc"] = one.test["auc"].mean()
    if tuned.adapter is None:
        return replace(one, choices=one.choices | frozen)

    def margins(rows: Rows) -> Vectors:
        return heads.margins(_vectors([task.cells.texts[row] for row in rows], task.context, encoder))

    held, test = task.cells.rows(task.held_out), np.flatnonzero(np.isin(task.cells.groups, list(plan.test_stories)))
    margin = margins(task.held_out)
    return replace(
        one,
        reader=replace(one.reader, heads=heads),
        held_out=grade_student(margin, held, plan.seed),
        test=grade_student(margins(test), task.cells.rows(test), plan.seed) if len(test) else None,
        choices=one.choices | frozen | {"held_out_log_loss": log_loss(margin, *targets(held, plan.heads.hard))},
    )


def _vectors(texts: Sequence[str], context: bool, encoder: Encoder) -> Vectors:
    with tqdm(desc=f"embed {encoder.name}", unit="text", leave=False) as bar:

        def done(n_texts: int) -> None:
            bar.update(n_texts)

        return text_vectors(texts, context, lambda new: encoder.embed(new, done), encoder.width)


def _fit_heads(
    vectors: Vectors, taught: TeacherCells, rows: tuple[Rows, Rows, Rows], plan: Plan
) -> tuple[Heads, Heads, dict[str, Any]]:
    """Return heads of the fit rows, heads of all, and what the held-out ones chose; `rows`: all, fit, held."""
    train, fit, held = rows
    if plan.hidden:
        hidden = fit_hidden(vectors, taught, fit, held, plan.heads, plan.hidden)
        loss = min(row["held_out_log_loss"] for row in hidden.curve)
        final = refit_hidden(vectors[train], taught.rows(train), hidden.epochs, plan.heads, plan.hidden)
        return hidden.heads, final, {"epochs": hidden.epochs, "held_out_log_loss": loss}
    linear = fit_heads(vectors, taught, fit, held, plan.heads)
    loss = min(row["held_out_log_loss"] for row in linear.curve)
    final = refit_heads(vectors[train], taught.rows(train), linear.penalty, plan.heads)
    return linear.heads, final, {"penalty": linear.penalty, "held_out_log_loss": loss}


def _known(table: pd.DataFrame, is_trusted: NDArray[np.bool_]) -> list[KnownQuestion]:
    return [
        KnownQuestion(
            text=str(row["question"]),
            trusted=bool(ok),
            **{name: _number(row[name]) for name in ("auc", "auc_low", "auc_high", "agreement", "ece", "yes_rate")},
        )
        for row, ok in zip(table.to_dict("records"), is_trusted, strict=True)
    ]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 4)


def _name(lesson: Lesson) -> str:
    return "context" if lesson.context else "plain"
