"""Command `cascade`: choose the thresholds of a cascade from a sample that its student and its teacher both answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qaemb.answers import Answers, answerer_settings, open_answerer
from qaemb.answers.cascade import Thresholds
from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.distill.cascade import CalibrationCells, calibrate, texts_needed
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_table, write_json
from qaemb.identity import text_id
from qaemb.questions import Question, load_set
from qaemb.settings import CascadeSettings, Settings
from qaemb.workspace import Workspace


@dataclass(frozen=True)
class CascadeRequest:
    """What the user asks for: the cascade, its target, and the sample that shall show it."""

    name: str
    segmentation: str
    question_set: str
    n_texts: int
    agreement: float = 0.95
    confidence: float = 0.95
    seed: int = 0


def cascade(settings: Settings, workspace: Workspace, asked: CascadeRequest) -> None:
    """Write the file of thresholds that `answers.spec.NAME.cascade` names, and print what they promise.

    The texts are drawn at random from those of train stories that no test story has; a larger sample of the same seed
    holds the smaller one. Both members' cells are kept in the store. BadParameter or BadInput name what is unknown or
    wrong, and how many texts the target takes, before anything is answered.
    """
    own = _cascade_settings(settings, asked.name)
    questions = load_set(workspace.questions, asked.question_set)
    _check_size(asked, len(questions))
    wanted = _sample(settings, workspace, asked, questions)
    title = f"cascade {asked.name}"
    student, teacher = _members(settings, workspace, own)
    print(
        f"{title}: {len(wanted.texts):,} texts of {asked.segmentation} and {len(questions)} questions, answered by both"
    )
    answers = [_answer(stored, wanted, settings.answers.block_texts, title) for stored in (student, teacher)]
    found = calibrate(_cells(answers, wanted), asked.agreement, asked.confidence, asked.seed)
    found = replace(found, student=student.answerer.key, teacher=teacher.answerer.key)
    path = workspace.root / own.thresholds
    sample = {"segmentation": asked.segmentation, "set": asked.question_set, "seed": asked.seed}
    write_json(path, {"cascade": asked.name, "approximates": own.teacher, "sample": sample, **found.to_dict()})
    for line in _outcome(own, found, path):
        print(f"{title}: {line}")


def _cascade_settings(settings: Settings, name: str) -> CascadeSettings:
    own = answerer_settings(name, settings.answers.spec)
    if own.cascade is None:
        cascades = [key for key, spec in settings.answers.spec.items() if spec.cascade]
        raise BadParameter(
            f"answers.spec.{name} is no cascade but engine `{own.engine}`; there are: {', '.join(cascades) or 'none'} "
            "(docs/cascade.md says how to write one)"
        )
    return own.cascade


def _check_size(asked: CascadeRequest, n_questions: int) -> None:
    """Refuse, before a teacher is paid, a sample that can't show the target."""
    needed = texts_needed(asked.agreement, asked.confidence, single=n_questions == 1)
    if asked.n_texts < needed:
        raise BadInput(
            f"--texts {asked.n_texts}: so few can't show an agreement of {asked.agreement:g} with confidence "
            f"{asked.confidence:g}, whatever they are answered; it takes at least --texts {needed}, and several times "
            "as many to save most of the calls"
        )


def _sample(settings: Settings, workspace: Workspace, asked: CascadeRequest, questions: list[Question]) -> Wanted:
    """Draw the texts by the hash of seed and text, so that the draw of one does not depend on what else there is."""
    if asked.segmentation not in settings.segments:
        known = ", ".join(settings.segments)
        raise BadParameter(
            f"no segmentation `{asked.segmentation}` in params.yaml, section segments; there are: {known}"
        )
    folder = workspace.segments(asked.segmentation)
    stories = read_table(workspace.dataset / "stories.parquet", ["story", "split"])
    occurrences = read_table(folder / "occurrences.parquet", ["story", "segment_id"])
    segments = read_table(folder / "segments.parquet")
    test = occurrences["story"].isin(stories.loc[stories["split"] == "test", "story"])
    train = segments[~segments["segment_id"].isin(occurrences.loc[test, "segment_id"])]
    if asked.n_texts > len(train):
        raise BadInput(
            f"--texts {asked.n_texts}: {asked.segmentation} has only {len(train):,} texts that occur in train stories "
            f"alone; ask for no more, or take another segmentation"
        )
    drawn = sorted(train["segment_id"], key=lambda name: text_id(f"{asked.seed} {name}"))[: asked.n_texts]
    texts = dict(zip(train["segment_id"], train["text"], strict=True))
    return Wanted(
        segment_ids=drawn,
        texts=[texts[name] for name in drawn],
        question_ids=[question.question_id for question in questions],
        questions=[question.text for question in questions],
    )


def _members(settings: Settings, workspace: Workspace, own: CascadeSettings) -> tuple[Stored, Stored]:
    root = workspace.store(settings.answers.store)
    names = (own.student, own.teacher)
    student, teacher = (
        Stored(name, open_answerer(name, settings.answers.spec, workspace.model, workspace.root), root)
        for name in names
    )
    if student.answerer.key == teacher.answerer.key:
        raise BadParameter(
            f"student `{own.student}` and teacher `{own.teacher}` have one key: they give the same answers, so that a "
            "cascade saves nothing; name two different answerers"
        )
    return student, teacher


def _answer(stored: Stored, wanted: Wanted, block_texts: int, title: str) -> Answers:
    """Say what it takes, answer what the store lacks, and return the sample's cells from the store."""
    plans = stored.plan(wanted, block_texts)
    print(f"{title}, {stored.name}: {plans[stored.name].describe()}", flush=True)
    stored.run(wanted, plans, stored.name)
    return stored.read(wanted)


def _cells(answers: list[Answers], wanted: Wanted) -> CalibrationCells:
    student, teacher = answers
    shape = student.margin.shape
    return CalibrationCells(
        student=np.where(student.mass > 0, student.margin, np.nan).ravel(),
        teacher=teacher.margin.ravel(),
        question=np.broadcast_to(np.array(wanted.question_ids), shape).ravel(),
        text=np.broadcast_to(np.array(wanted.segment_ids)[:, None], shape).ravel(),
    )


def _outcome(own: CascadeSettings, found: Thresholds, path: Path) -> list[str]:
    """Return what the user is told: the sample, the promise, what it saves, and where the thresholds are."""
    of = found.evidence
    lines = [
        f"{of.n_cells:,} cells of {of.n_texts:,} texts; `{own.student}` alone answers {of.student_agreement:.1%} of "
        f"them as `{own.teacher}` does",
        f"agreement over all cells at least {of.target:g} with confidence {of.confidence:g} (lower bound "
        f"{of.bound:.4f}, estimate {of.agreement:.4f})",
        f"of what `{own.teacher}` answers yes {_percent(of.yes_kept)} stay yes, of what it answers no "
        f"{_percent(of.no_kept)} stay no (estimates)",
    ]
    if of.share_saved > 0:
        lines.append(
            f"saves about {of.share_saved:.1%} of the calls; the student's own cells agree at {of.own_agreement:.4f}"
        )
    else:
        lines.append(
            f"saves nothing: `{own.student}` is nowhere sure enough for this target; take more --texts, a lower "
            "--agreement or a better student"
        )
    return [*lines, f"thresholds are in {path}; commit it, they are part of the cascade's key"]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
