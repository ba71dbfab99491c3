"""Stage `distill`: train a student on a teacher's answers, grade it, and log it as an MLflow model.

Commands on trained students: which there are, and taking one that `distill` made for use in answers.
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
from qaemb.distill.finetune import Finetuning
from qaemb.distill.grades import card
from qaemb.distill.heads import HeadSettings, HiddenSettings
from qaemb.distill.train import Lesson, Plan, Trained, train_student
from qaemb.errors import BadInput, BadParameter
from qaemb.features.inputs import read_approved, read_published
from qaemb.files import atomic_folder, read_table, write_json, write_table
from qaemb.identity import text_id
from qaemb.models.encoder import Encoder
from qaemb.models.folder import read_model_info
from qaemb.models.vectors import vectors_of
from qaemb.questions import load_set
from qaemb.settings import Settings, StudentSettings
from qaemb.stages.distill_lm import train_language_model
from qaemb.tracking import RunRecord, StudentModel, StudentWeights, Tracker, data_tags
from qaemb.workspace import Workspace


def distill(settings: Settings, workspace: Workspace, student: str) -> None:
    """Write data/work/students/NAME (the student, its card, grades per question), metrics, and an MLflow model.

    BadParameter if the student is not in `distill.students` or its teacher is not there; BadInput if the teacher's
    answers do not fit the data; BadMatrix if a job's matrix is not approved.
    """
    known = settings.distill.students
    if student not in known:
        raise BadParameter(f"no student `{student}` in distill.students; there are: {', '.join(known) or 'none'}")
    own = known[student]
    if own.kind == "lm":
        made = train_language_model(settings, workspace, student, teacher_cells(settings, workspace, own))
        tested = f", {made['test_auc']:.3f} on test stories" if "test_auc" in made else ""
        print(f"distill {student}: AUC {made['best_auc']:.3f} held out{tested}; MLflow model {made['version']}")
        return
    trained = _train(settings, workspace, student, own)
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


def _train(settings: Settings, workspace: Workspace, name: str, own: StudentSettings) -> Trained:
    folder = workspace.model(own.model)
    info, encoder = read_model_info(folder), Encoder(folder)
    store = workspace.vectors(settings.answers.store)
    lessons = []
    for cells in teacher_cells(settings, workspace, own):
        context = is_marked(cells.texts[0])
        vectors = text_vectors(cells.texts, context, lambda texts: vectors_of(encoder, texts, store), encoder.width)
        lessons.append(Lesson(context, vectors, cells))
    questions = lessons[0].cells.questions
    asked = QuestionVectors(encoder.embed(questions), reference_vector(encoder))
    plan = Plan(
        kind=own.kind,
        test_stories=settings.dataset.test_stories,
        heads=HeadSettings(hard=own.hard, balance=own.balance),
        hidden=HiddenSettings(own.hidden, seed=own.seed) if own.hidden else None,
        conditioned=ConditionedSettings(learnt_share=own.learnt_share),
        least_auc=own.least_auc,
        held_out_share=own.held_out_share,
        seed=own.seed,
        taught=taught_words(workspace, own, questions),
        finetune=Finetuning(folder, seed=own.seed, **own.finetune.model_dump()) if own.finetune else None,
    )
    named = {"name": info.name, "package": info.package, "version": info.version, "digest": info.digest}
    trained = train_student(name, named, lessons, asked, plan)
    about = _about(settings, own, lessons) | _tuned(trained)
    return replace(trained, student=replace(trained.student, about=about))


def _tuned(trained: Trained) -> dict[str, Any]:
    """Return what fine-tuning brought, for the card; nothing where there was none."""
    if not trained.curve:
        return {}
    if trained.student.adapter is None:
        return {"fine-tuned": "tried, but it was no better on held-out stories"}
    aucs = "; ".join(
        f"{reader} AUC {trained.chosen[reader]['frozen_held_out_auc']:.3f} frozen, {table['auc'].mean():.3f} tuned"
        for reader, table in trained.held_out.items()
    )
    return {"fine-tuned": f"adapters of rank {trained.student.adapter.rank}; held out: {aucs}"}


def teacher_cells(settings: Settings, workspace: Workspace, own: StudentSettings) -> list[TeacherCells]:
    """Return the teacher's cells, one table per segmentation that the student reads."""
    if own.job:
        job = settings.answers.jobs[own.job]
        margin = read_approved(workspace.answers(own.job), workspace.validation(own.job))
        mass = read_table(workspace.answers(own.job) / "mass.parquet")
        questions = [question.text for question in load_set(workspace.questions, job.set)]
        return [job_cells(margin, mass, questions, *_segments(workspace, job.segmentation))]
    names, labels = read_published(workspace.dataset, str(own.published))
    found = []
    for segmentation in own.segmentations:
        if settings.segments[segmentation].kind != "tr":
            raise BadParameter(
                f"distill.students: `{segmentation}` is not of kind `tr`, but published answers stand in TRs"
            )
        found.append(published_cells(names, labels, *_segments(workspace, segmentation)))
    return found


def _segments(workspace: Workspace, segmentation: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = workspace.segments(segmentation)
    return read_table(folder / "segments.parquet"), read_table(folder / "occurrences.parquet")


def taught_words(workspace: Workspace, own: StudentSettings, questions: list[str]) -> dict[str, list[str]] | None:
    """Return the bank's words -> the teacher's questions that ask for the same, None without a map.

    The map names the teacher's questions by the hash of their words, which may not be ours to publish:
    `questions: [{name: NAME, teacher: [ID, ...]}]`, NAME a question of the bank.
    """
    if own.question_map is None:
        return None
    path = workspace.root / own.question_map
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["questions"]
        wanted = {str(entry["name"]): [str(one) for one in entry["teacher"]] for entry in entries}
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} is no question map (a list `questions` of `name` and `teacher`): {error}") from error
    bank = {question.name: question.text for question in load_set(workspace.questions, "full")}
    texts = {text_id(text): text for text in questions}
    for name, ids in wanted.items():
        if name not in bank:
            raise BadInput(f"{path}: `{name}` is no question of the bank; correct or remove it")
        unknown = [one for one in ids if one not in texts]
        if unknown:
            raise BadInput(f"{path}: the teacher has no question with id {unknown[0]} (for `{name}`); correct it")
    return {bank[name]: [texts[one] for one in ids] for name, ids in wanted.items()}


def _about(settings: Settings, own: StudentSettings, lessons: list[Lesson]) -> dict[str, Any]:
    stories = sorted(set(lessons[0].cells.groups))
    test = [story for story in stories if story in settings.dataset.test_stories]
    known = sum(int(lesson.cells.known.sum()) for lesson in lessons)
    return {
        "teacher": own.job or own.published,
        "data": settings.dataset.name,
        "train stories": len(stories) - len(test),
        "held out for choices": f"{own.held_out_share:.0%} of these",
        "test stories": len(test),
        "cells": known,
        "kind": own.kind,
        "licence": own.licence or "not stated",
    }


def _metrics(trained: Trained) -> dict[str, Any]:
    """Return per form of reading the mean AUC, agreement and calibration error, held out and on test stories."""
    found: dict[str, Any] = {"n_questions": len(trained.student.questions)}
    found["n_trusted"] = sum(question.trusted for question in trained.student.questions)
    for reader, table in trained.held_out.items():
        tables = {"held_out": table, **({"test": trained.test[reader]} if reader in trained.test else {})}
        figures = {
            f"{part}_{name}": own[name].mean() for part, own in tables.items() for name in ("auc", "agreement", "ece")
        }
        found[reader] = {name: _rounded(value) for name, value in {**figures, **trained.chosen[reader]}.items()}
    return found


def _rounded(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def _line(metrics: dict[str, Any]) -> str:
    readers = {name: own for name, own in metrics.items() if isinstance(own, dict)}
    said = (f"{name} AUC {own['held_out_auc']:.3f} held out" + _tested(own) for name, own in readers.items())
    taught = (
        f"{metrics['n_questions']} taught questions, {metrics['n_trusted']} trusted; " if metrics["n_questions"] else ""
    )
    return taught + "; ".join(said)


def _tested(own: dict[str, Any]) -> str:
    return "" if own.get("test_auc") is None else f", {own['test_auc']:.3f} on test stories"


def _log(settings: Settings, workspace: Workspace, name: str, trained: Trained, metrics: dict[str, Any]) -> str:
    """Write the MLflow run and the model version, and return the version's address."""
    own, folder = settings.distill.students[name], workspace.students / name
    flat = {
        f"{reader}.{key}": value
        for reader, found in metrics.items()
        if isinstance(found, dict)
        for key, value in found.items()
        if value is not None
    }
    flat |= {key: value for key, value in metrics.items() if not isinstance(value, dict)}
    inputs = [workspace.root / own.input, workspace.dataset]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("distill", name)])
    tracker = Tracker(workspace.mlruns)
    experiment = f"distill {settings.dataset.name}"
    params = {"student": name, **own.model_dump(mode="json", exclude_none=True, exclude={"lm", "input"})}
    files = [folder / "CARD.md", *sorted(folder.glob("*.parquet"))]
    if trained.curve:
        files.append(workspace.run_figures("distill", name))
    run_id = tracker.log_run(experiment, RunRecord(name, params, flat, tags, tuple(files)))
    encoder = trained.student.encoder
    first = next(iter(trained.held_out.values()))
    version = tracker.log_model(
        run_id,
        StudentModel(
            name=name,
            folder=folder,
            opener="qaemb.distill.open_student:open_student",
            key=trained.student.digest,
            teacher=str(own.job or own.published),
            held_out=float(first["auc"].mean()),
            questions=tuple(question.text for question in trained.student.questions),
            weights=StudentWeights(
                name=own.model,
                folder=workspace.model(own.model),
                digest=encoder["digest"],
                settings=settings.model[own.model],
                maker="qaemb.models.folder:make_model",
            ),
            figures=flat,
            tags=tags,
        ),
    )
    return version.uri


_KEPT = ("student.json", "weights.safetensors", "CARD.md", "adapter")


def list_students(workspace: Workspace) -> None:
    """Print a line for each student: of the package, adopted, and trained by `distill`."""
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

    Answers can name it there (`student: data/students/NAME`): what `distill` writes can't be named, as it may itself be
    learnt from answers. BadInput if there is none, or another one of the name is there and `replace` is not given.
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
        for kept in _KEPT:
            if (source / kept).is_dir():
                shutil.copytree(source / kept, folder / kept)
            elif (source / kept).exists():
                shutil.copyfile(source / kept, folder / kept)
    return target


def _folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/student.json"))
