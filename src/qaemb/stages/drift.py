"""References that a job's answers are compared with: accepting one, showing what moved, and the check of `validate`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qaemb.answers.approval import matrix_digests
from qaemb.errors import BadInput, BadMatrix, require
from qaemb.files import atomic_folder, read_json, read_table
from qaemb.questions import load_set
from qaemb.settings import AnswersJob, DriftSettings, Settings
from qaemb.validation import Matrix, summarise
from qaemb.validation.drift import (
    DRIFT_TABLES,
    PAGE,
    Drift,
    Origin,
    Reference,
    Version,
    compare,
    headline,
    printed,
    read_reference,
    write_reference,
    write_report,
)
from qaemb.workspace import Workspace


def find_job(settings: Settings, job: str) -> AnswersJob:
    """Return the job of this name; BadParameter lists the jobs that there are."""
    return require(settings.answers.jobs, job, "answers job", "params.yaml: answers.jobs")


def read_matrix(settings: Settings, workspace: Workspace, job: str) -> Matrix:
    """Return a job's margins and mass as they are, with the segments and questions that they should have."""
    spec = find_job(settings, job)
    folder = workspace.answers(job)
    tables = {name: read_table(folder / f"{name}.parquet") for name in ("margin", "mass")}
    for name, table in tables.items():
        if "segment_id" not in table:
            raise BadMatrix(
                f"{folder / name}.parquet has no column `segment_id`; run `qaemb answers --job {job}` again"
            )
    segments = read_table(workspace.segments(spec.segmentation) / "segments.parquet", ["segment_id"])
    questions = load_set(workspace.questions, spec.set)
    return Matrix(tables["margin"], tables["mass"], list(segments["segment_id"]), [item.name for item in questions])


@dataclass(frozen=True)
class ReferenceSpec:
    """What a new reference holds: its name, answers to at most `n_texts` texts, and, with `words`, these texts."""

    name: str
    n_texts: int = 2000
    words: bool = True


def accept(settings: Settings, workspace: Workspace, job: str, spec: ReferenceSpec, replace: bool = False) -> None:
    """Make a job's answers, as they are now, the reference data/references/NAME.

    BadMatrix if `validate` has not seen this matrix, or found more against it than drift. BadInput if the reference is
    of another job and `replace` is not given.
    """
    folder = _folder(workspace, spec.name)
    find_job(settings, job)
    _require_sound(workspace, job)
    _require_same_job(folder, job, replace)
    version = _version(settings, workspace, job, read_matrix(settings, workspace, job))
    sample = version.sample(spec.n_texts)
    if not spec.words:
        sample = Version(sample.origin, sample.questions, sample.margin, sample.mass)
    summary = summarise(version.margin, version.mass, settings.validate_.low_mass)
    accepted_at = datetime.now(UTC).isoformat(timespec="seconds")
    write_reference(Reference(spec.name, accepted_at, sample, summary), folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(
        f"drift: {folder} is now the reference of {job}: {len(sample.margin):,} of {len(version.margin):,} texts x "
        f"{len(version.questions)} questions, {size:.1f} MB; commit it (or `dvc add` it)"
    )
    if settings.validate_.drift_of(job, settings.answers.jobs[job]).reference != spec.name:
        print(f"drift: `validate` compares with it once params.yaml has validate.drift.{job}.reference: {spec.name}")


def show(settings: Settings, workspace: Workspace, job: str, against: str) -> None:
    """Print what moved in a job since a reference, and write reports/drift/JOB_vs_NAME/."""
    limits = settings.validate_.drift_of(job, find_job(settings, job))
    matrix = read_matrix(settings, workspace, job)
    if not matrix.is_whole:
        raise BadMatrix(
            f"the matrix of job `{job}` lacks cells or is of another run than its segments and questions; "
            f"`qaemb validate --job {job}` says what is wrong"
        )
    drift = _compare(settings, workspace, job, matrix, limits, against)
    target = workspace.reports / "drift" / f"{job}_vs_{against}"
    with atomic_folder(target) as folder:
        texts = write_report(drift, folder)
    print(printed(drift, texts))
    print(f"\nMore in {target / PAGE}")


def look_for_drift(settings: Settings, workspace: Workspace, job: str, matrix: Matrix) -> Drift | None:
    """Return what moved since the job's reference; None without one, or if the matrix is too bad to be compared."""
    limits = settings.validate_.drift_of(job, find_job(settings, job))
    if limits.reference is None or not matrix.is_whole:
        return None
    return _compare(settings, workspace, job, matrix, limits, limits.reference)


def drift_message(drift: Drift, docs: Path) -> str:
    """Return the message with which drift stops the pipeline."""
    job, name = drift.now.origin.job, drift.reference.name
    return (
        f"answers job `{job}` drifted from its reference; the stages behind it do not run:\n  {headline(drift)}\n"
        f"Look at {docs / PAGE}; if the change is wanted, `qaemb drift accept {job} --as {name}` and `dvc repro`; "
        f"else correct the answerer, or the limits in params.yaml (`validate.drift`)."
    )


def _compare(
    settings: Settings, workspace: Workspace, job: str, matrix: Matrix, limits: DriftSettings, name: str
) -> Drift:
    reference = read_reference(_folder(workspace, name))
    return compare(reference, _version(settings, workspace, job, matrix), limits)


def _version(settings: Settings, workspace: Workspace, job: str, matrix: Matrix) -> Version:
    spec, folder = settings.answers.jobs[job], workspace.answers(job)
    answers_spec = read_json(folder / "spec.json")
    segments = read_table(workspace.segments(spec.segmentation) / "segments.parquet", ["segment_id", "text"])
    origin = Origin(
        dataset=settings.dataset.name,
        job=job,
        answerer=spec.answerer,
        key=str(answers_spec.get("key", "unknown")),
        segmentation=spec.segmentation,
        question_set=spec.set,
        n_segments=len(matrix.margin),
        **matrix_digests(folder),
    )
    texts = dict(zip(segments["segment_id"], segments["text"], strict=True))
    return Version(origin, load_set(workspace.questions, spec.set), matrix.margin, matrix.mass, texts)


def _folder(workspace: Workspace, name: str) -> Path:
    if Path(name).name != name or name.startswith("."):
        raise BadInput(f"`{name}` can't name a folder; give a reference a plain name")
    return workspace.references / name


def _require_same_job(folder: Path, job: str, replace: bool) -> None:
    """Raise BadInput where another job's reference would be overwritten."""
    head = folder / "reference.json"
    if not replace and head.is_file():
        other = read_json(head).get("job")
        if other != job:
            raise BadInput(f"{folder} is a reference of job `{other}`; accept with --replace, or give another name")


def _require_sound(workspace: Workspace, job: str) -> None:
    """Raise BadMatrix unless `validate` found nothing against the matrix that is there, drift aside."""
    path = workspace.reports / "data_docs" / job / "validation.json"
    verdict = read_json(path) if path.exists() else {}
    if not matrix_digests(workspace.answers(job)).items() <= verdict.items():
        raise BadMatrix(f"`validate` has not seen this matrix of `{job}` ({path}); run `qaemb validate --job {job}`")
    for outcome in verdict["expectations"]:
        if not outcome["success"] and outcome["table"] not in DRIFT_TABLES:
            says = outcome["says"]
            raise BadMatrix(f"the matrix of job `{job}` failed validation ({path}): expected that {says}")
