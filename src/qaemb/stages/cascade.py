"""Command `cascade`: choose the thresholds of a cascade from a sample that its student and its teacher both answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qaemb.answers import Answers
from qaemb.answers.cascade import Thresholds
from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.distill.cascade import CalibrationCells, calibrate, texts_needed
from qaemb.errors import BadInput, BadParameter, require, require_name
from qaemb.files import read_table, write_json
from qaemb.identity import text_id
from qaemb.questions import Question, load_set
from qaemb.settings import CascadeAnswererSettings, CascadeSettings, Settings
from qaemb.stages.answers import open_stored
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


def cascade(settings: Settings, workspace: Workspace, request: CascadeRequest) -> None:
    """Write the file of thresholds that `answers.spec.NAME.cascade` names, and print what they promise.

    The texts are drawn at random from those of train stories that no test story has; a larger sample of the same seed
    holds the smaller one. Both members' cells are kept in the store. BadParameter or BadInput name what is unknown or
    wrong, and how many texts the target takes, before anything is answered.
    """
    spec = _cascade_settings(settings, request.name)
    questions = load_set(workspace.questions, request.question_set)
    _check_size(request, len(questions))
    grid = _sample(settings, workspace, request, questions)
    title = f"cascade {request.name}"
    student, teacher = _members(settings, workspace, spec)
    print(
        f"{title}: {len(grid.texts):,} texts of {request.segmentation} and {len(questions)} questions, answered by both"
    )
    block_texts = settings.answers.block_texts
    answers = [stored.get(grid, block_texts, f"{title}, {stored.name}") for stored in (student, teacher)]
    thresholds = calibrate(_cells(answers, grid), request.agreement, request.confidence, request.seed)
    thresholds = replace(thresholds, student=student.answerer.key, teacher=teacher.answerer.key)
    path = workspace.root / spec.thresholds
    sample = {"segmentation": request.segmentation, "set": request.question_set, "seed": request.seed}
    write_json(path, {"cascade": request.name, "approximates": spec.teacher, "sample": sample, **thresholds.to_dict()})
    for line in _outcome(spec, thresholds, path):
        print(f"{title}: {line}")


def _cascade_settings(settings: Settings, name: str) -> CascadeSettings:
    spec = require(settings.answers.spec, name, "answerer", "params.yaml, section answers.spec")
    if not isinstance(spec, CascadeAnswererSettings):
        cascades = [key for key, other in settings.answers.spec.items() if isinstance(other, CascadeAnswererSettings)]
        raise BadParameter(
            f"answers.spec.{name} is no cascade but engine `{spec.engine}`; there are: {', '.join(cascades) or 'none'} "
            "(docs/cascade.md says how to write one)"
        )
    return spec.cascade


def _check_size(request: CascadeRequest, n_questions: int) -> None:
    """Refuse, before a teacher is paid, a sample that can't show the target."""
    needed = texts_needed(request.agreement, request.confidence, single=n_questions == 1)
    if request.n_texts < needed:
        raise BadInput(
            f"--texts {request.n_texts}: so few can't show an agreement of {request.agreement:g} with confidence "
            f"{request.confidence:g}, whatever they are answered; it takes at least --texts {needed}, and several "
            "times as many to save most of the calls"
        )


def _sample(settings: Settings, workspace: Workspace, request: CascadeRequest, questions: list[Question]) -> Wanted:
    """Draw the texts by the hash of seed and text, so that the draw of one does not depend on what else there is."""
    require_name(settings.segments, request.segmentation, "segmentation", "params.yaml, section segments")
    folder = workspace.segments(request.segmentation)
    stories = read_table(workspace.dataset / "stories.parquet", ["story", "split"])
    occurrences = read_table(folder / "occurrences.parquet", ["story", "segment_id"])
    segments = read_table(folder / "segments.parquet")
    test = occurrences["story"].isin(stories.loc[stories["split"] == "test", "story"])
    train = segments[~segments["segment_id"].isin(occurrences.loc[test, "segment_id"])]
    if request.n_texts > len(train):
        raise BadInput(
            f"--texts {request.n_texts}: {request.segmentation} has only {len(train):,} texts that occur in train "
            f"stories alone; ask for no more, or take another segmentation"
        )
    drawn = sorted(train["segment_id"], key=lambda name: text_id(f"{request.seed} {name}"))[: request.n_texts]
    texts = dict(zip(train["segment_id"], train["text"], strict=True))
    return Wanted.of([texts[name] for name in drawn], [question.text for question in questions])


def _members(settings: Settings, workspace: Workspace, spec: CascadeSettings) -> tuple[Stored, Stored]:
    student, teacher = (open_stored(settings, workspace, name) for name in (spec.student, spec.teacher))
    if student.answerer.key == teacher.answerer.key:
        raise BadParameter(
            f"student `{spec.student}` and teacher `{spec.teacher}` have one key: they give the same answers, so that "
            "a cascade saves nothing; name two different answerers"
        )
    return student, teacher


def _cells(answers: list[Answers], grid: Wanted) -> CalibrationCells:
    student, teacher = answers
    shape = student.margin.shape
    return CalibrationCells(
        student=np.where(student.mass > 0, student.margin, np.nan).ravel(),
        teacher=teacher.margin.ravel(),
        question=np.broadcast_to(np.array(grid.question_ids), shape).ravel(),
        text=np.broadcast_to(np.array(grid.segment_ids)[:, None], shape).ravel(),
    )


def _outcome(spec: CascadeSettings, thresholds: Thresholds, path: Path) -> list[str]:
    """Return the last lines for the user: the sample, the promise, what it saves, and where the thresholds are."""
    shown = thresholds.evidence
    lines = [
        f"{shown.n_cells:,} cells of {shown.n_texts:,} texts; `{spec.student}` alone answers "
        f"{shown.student_agreement:.1%} of them as `{spec.teacher}` does",
        f"agreement over all cells at least {shown.target:g} with confidence {shown.confidence:g} (lower bound "
        f"{shown.bound:.4f}, estimate {shown.agreement:.4f})",
        f"of what `{spec.teacher}` answers yes {_percent(shown.yes_kept)} stay yes, of what it answers no "
        f"{_percent(shown.no_kept)} stay no (estimates)",
    ]
    if shown.share_saved > 0:
        lines.append(
            f"saves about {shown.share_saved:.1%} of the calls; the student's own cells agree at "
            f"{shown.own_agreement:.4f}"
        )
    else:
        lines.append(
            f"saves nothing: `{spec.student}` is nowhere sure enough for this target; take more --texts, a lower "
            "--agreement or a better student"
        )
    return [*lines, f"thresholds are in {path}; commit it, they are part of the cascade's key"]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
