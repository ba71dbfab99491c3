"""Stage `distill`: train a student on a teacher's answers, grade it, and log it as an MLflow model.

Beside the stage stand two commands on trained students: list them, and adopt one for use in answers.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from qaemb.answers.students import find_student, read_student, shipped_students, write_student
from qaemb.answers.students.reading import is_marked, reference_vector, text_vectors
from qaemb.distill.cells import TeacherCells, job_cells, published_cells
from qaemb.distill.conditioned import ConditionedSettings, QuestionVectors
from qaemb.distill.grades import card
from qaemb.distill.heads import HeadSettings, HiddenSettings
from qaemb.distill.train import Lesson, Plan, Trained, train_student
from qaemb.errors import BadInput, BadParameter, require
from qaemb.features.inputs import read_approved, read_published
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.identity import text_id
from qaemb.models.encoder import Encoder
from qaemb.models.folder import read_model_info
from qaemb.models.vectors import vectors_of
from qaemb.questions import load_set
from qaemb.settings import HeadsStudent, LmStudent, Settings, StudentSettings
from qaemb.stages.distill_lm import log_student, train_language_model
from qaemb.workspace import Workspace


def distill(settings: Settings, workspace: Workspace, student: str) -> None:
    """Write data/work/students/NAME (the student, its card, grades per question), metrics, and an MLflow model.

    BadParameter if the student is not in `distill.students` or its teacher is not there; BadInput if the teacher's
    answers do not fit the data; BadMatrix if a job's matrix is not approved.
    """
    spec = require(settings.distill.students, student, "student", "distill.students")
    if isinstance(spec, LmStudent):
        made = train_language_model(settings, workspace, student, spec, teacher_cells(settings, workspace, spec))
        tested = f", {made['test_auc']:.3f} on test stories" if "test_auc" in made else ""
        print(f"distill {student}: AUC {made['best_auc']:.3f} held out{tested}; MLflow model {made['version']}")
        return
    trained = _train(settings, workspace, student, spec)
    folder = workspace.students / student
    write_student(trained.student, folder, card(trained.student, trained.test))
    for kind, tables in (("held_out", trained.held_out), ("test", trained.test)):
        for reader, table in tables.items():
            write_table(folder / f"{kind}_{reader}.parquet", table)
    if trained.curve:
        write_table(folder / "finetune.parquet", pd.DataFrame(trained.curve).drop(columns="minutes"))
        write_json(workspace.run_figures("distill", student), {"curve": trained.curve})
    metrics = _metrics(trained)
    write_json(workspace.metrics("distill", student), metrics)
    version = _log(settings, workspace, student, trained, metrics)
    print(f"distill {student}: {_line(metrics)}; MLflow model {version}")


def _train(settings: Settings, workspace: Workspace, name: str, spec: StudentSettings) -> Trained:
    folder = workspace.model(spec.model)
    info, encoder = read_model_info(folder), Encoder(folder)
    store = workspace.vectors(settings.answers.store)
    lessons = []
    for cells in teacher_cells(settings, workspace, spec):
        context = is_marked(cells.texts[0])
        vectors = text_vectors(cells.texts, context, lambda texts: vectors_of(encoder, texts, store), encoder.width)
        lessons.append(Lesson(context, vectors, cells))
    questions = lessons[0].cells.questions
    plan = Plan(
        kind=spec.kind,
        test_stories=settings.dataset.test_stories,
        heads=HeadSettings(hard=spec.hard, balance=spec.balance),
        hidden=HiddenSettings(spec.hidden, seed=spec.seed) if spec.hidden else None,
        conditioned=ConditionedSettings(learnt_share=spec.learnt_share),
        least_auc=spec.least_auc,
        held_out_share=spec.held_out_share,
        seed=spec.seed,
        taught=taught_words(workspace, spec, questions),
        finetune=spec.finetuning if isinstance(spec, HeadsStudent) else None,
        model=folder,
    )
    base = {"name": info.name, "package": info.package, "version": info.version, "digest": info.digest}
    vectors_of_questions = QuestionVectors(encoder.embed(questions), reference_vector(encoder))
    trained = train_student(name, base, lessons, vectors_of_questions, plan)
    about = _about(settings, spec, lessons) | _tuned(trained)
    return replace(trained, student=replace(trained.student, about=about))


def _tuned(trained: Trained) -> dict[str, Any]:
    """Return what fine-tuning brought, for the card; nothing where there was none."""
    if not trained.curve:
        return {}
    if trained.student.adapter is None:
        return {"fine-tuned": "tried, but it was no better on held-out stories"}
    aucs = "; ".join(
        f"{reader} AUC {trained.choices[reader]['frozen_held_out_auc']:.3f} frozen, {table['auc'].mean():.3f} tuned"
        for reader, table in trained.held_out.items()
    )
    return {"fine-tuned": f"adapters of rank {trained.student.adapter.rank}; held out: {aucs}"}


def teacher_cells(settings: Settings, workspace: Workspace, spec: StudentSettings) -> list[TeacherCells]:
    """Return the teacher's cells, one table per segmentation that the student reads."""
    if spec.job:
        job = settings.answers.jobs[spec.job]
        margin = read_approved(workspace.answers(spec.job), workspace.validation(spec.job))
        mass = read_table(workspace.answers(spec.job) / "mass.parquet")
        questions = [question.text for question in load_set(workspace.questions, job.set)]
        return [job_cells(margin, mass, questions, *_segments(workspace, job.segmentation))]
    names, labels = read_published(workspace.dataset, str(spec.published))
    tables = []
    for segmentation in spec.segmentations:
        if settings.segments[segmentation].kind != "tr":
            raise BadParameter(
                f"distill.students: `{segmentation}` is not of kind `tr`, but published answers stand in TRs"
            )
        tables.append(published_cells(names, labels, *_segments(workspace, segmentation)))
    return tables


def _segments(workspace: Workspace, segmentation: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = workspace.segments(segmentation)
    return read_table(folder / "segments.parquet"), read_table(folder / "occurrences.parquet")


def taught_words(workspace: Workspace, spec: StudentSettings, questions: list[str]) -> dict[str, list[str]] | None:
    """Return the bank's wording -> the teacher's questions that mean the same, None without a map.

    The map names the teacher's questions by the hash of their words, as the words may be under another licence:
    `questions: [{name: NAME, teacher: [ID, ...]}]`, NAME a question of the bank.
    """
    if spec.question_map is None:
        return None
    path = workspace.root / spec.question_map
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["questions"]
        ids_by_name = {str(entry["name"]): [str(one) for one in entry["teacher"]] for entry in entries}
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is no question map (a list `questions` of `name` and `teacher`): {error}") from error
    bank = {question.name: question.text for question in load_set(workspace.questions, "full")}
    texts = {text_id(text): text for text in questions}
    for name, ids in ids_by_name.items():
        if name not in bank:
            raise BadInput(f"{path}: `{name}` is no question of the bank; correct or remove it")
        unknown = [one for one in ids if one not in texts]
        if unknown:
            raise BadInput(f"{path}: the teacher has no question with id {unknown[0]} (for `{name}`); correct it")
    return {bank[name]: [texts[one] for one in ids] for name, ids in ids_by_name.items()}


def _about(settings: Settings, spec: StudentSettings, lessons: list[Lesson]) -> dict[str, Any]:
    stories = sorted(set(lessons[0].cells.groups))
    n_test = sum(story in settings.dataset.test_stories for story in stories)
    return {
        "teacher": spec.job or spec.published,
        "data": settings.dataset.name,
        "train stories": len(stories) - n_test,
        "held out for choices": f"{spec.held_out_share:.0%} of these",
        "test stories": n_test,
        "cells": sum(int(lesson.cells.known.sum()) for lesson in lessons),
        "kind": spec.kind,
        "licence": spec.licence or "not stated",
    }


def _metrics(trained: Trained) -> dict[str, Any]:
    """Return per form of reading the mean AUC, agreement and calibration error, held out and on test stories."""
    metrics: dict[str, Any] = {"n_questions": len(trained.student.questions)}
    metrics["n_trusted"] = sum(question.trusted for question in trained.student.questions)
    for reader, table in trained.held_out.items():
        tables = {"held_out": table, **({"test": trained.test[reader]} if reader in trained.test else {})}
        means = {
            f"{part}_{name}": grades[name].mean()
            for part, grades in tables.items()
            for name in ("auc", "agreement", "ece")
        }
        metrics[reader] = {name: _rounded(value) for name, value in {**means, **trained.choices[reader]}.items()}
    return metrics


def _rounded(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def _line(metrics: dict[str, Any]) -> str:
    parts = [
        f"{reader} AUC {figures['held_out_auc']:.3f} held out" + _tested(figures)
        for reader, figures in metrics.items()
        if isinstance(figures, dict)
    ]
    n_questions = metrics["n_questions"]
    taught = f"{n_questions} taught questions, {metrics['n_trusted']} trusted; " if n_questions else ""
    return taught + "; ".join(parts)


def _tested(figures: dict[str, Any]) -> str:
    return "" if figures.get("test_auc") is None else f", {figures['test_auc']:.3f} on test stories"


def _log(settings: Settings, workspace: Workspace, name: str, trained: Trained, metrics: dict[str, Any]) -> str:
    """Write the MLflow run and the model version, and return the version's address."""
    folder = workspace.students / name
    flat = {
        f"{reader}.{key}": value
        for reader, figures in metrics.items()
        if isinstance(figures, dict)
        for key, value in figures.items()
        if value is not None
    }
    flat |= {key: value for key, value in metrics.items() if not isinstance(value, dict)}
    first = next(iter(trained.held_out.values()))
    times = [workspace.run_figures("distill", name)] if trained.curve else []
    return log_student(
        settings,
        workspace,
        name,
        flat,
        files=(folder / "CARD.md", *sorted(folder.glob("*.parquet")), *times),
        folder=folder,
        opener="qaemb.distill.open_student:open_student",
        key=trained.student.digest,
        held_out=float(first["auc"].mean()),
        questions=tuple(question.text for question in trained.student.questions),
    )


_ADOPTED = ("student.json", "weights.safetensors", "CARD.md", "adapter")


def list_students(workspace: Workspace) -> None:
    """Print a line for each student: those in the package, the adopted ones, those that `distill` has trained."""
    shipped = [(name, find_student(name)) for name in shipped_students()]
    folders = [*_folders(workspace.root / "data" / "students"), *_folders(workspace.students)]
    for name, folder in [*shipped, *((folder.relative_to(workspace.root).as_posix(), folder) for folder in folders)]:
        student = read_student(folder)
        trusted = sum(question.trusted for question in student.questions)
        others = ", scores other questions" if any(reader.conditioned for reader in student.readers) else ""
        forms = " and ".join("marked segments" if reader.context else "plain texts" for reader in student.readers)
        taught = f"{len(student.questions)} questions ({trusted} trusted){others}"
        print(f"{name}: on {student.encoder['name']}, reads {forms}, {taught}")
    if not shipped and not folders:
        print("no student; list one in distill.students and run `dvc repro`")


def adopt_student(workspace: Workspace, name: str, replace: bool = False) -> Path:
    """Copy a student that `distill` made to data/students/NAME, where git versions it, and return that folder.

    An answerer can name the copy (`student: data/students/NAME`). It can't name what `distill` writes, as that may be
    learnt from answers. BadInput if there is none, or if another student has the name and `replace` is false.
    """
    source, target = workspace.students / name, workspace.root / "data" / "students" / name
    if not (source / "student.json").exists():
        there = ", ".join(folder.name for folder in _folders(workspace.students)) or "none"
        raise BadInput(
            f"`distill` has made no student `{name}` (there are: {there}); run `qaemb distill --student {name}`"
        )
    new = read_student(source)
    if (target / "student.json").exists() and not replace and read_student(target).digest != new.digest:
        raise BadInput(f"{target} is another student; adopt with --replace, or rename one")
    with atomic_folder(target) as folder:
        for file in _ADOPTED:
            if (source / file).is_dir():
                shutil.copytree(source / file, folder / file)
            elif (source / file).exists():
                shutil.copyfile(source / file, folder / file)
    return target


def _folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/student.json"))
