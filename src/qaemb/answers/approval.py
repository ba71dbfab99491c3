"""Whether the matrix of an answers job is the one that `validate` looked at, and whether it was approved."""

from __future__ import annotations

from pathlib import Path

from qaemb.errors import BadMatrix
from qaemb.files import read_json
from qaemb.identity import file_sha256

_DIGESTED = {"answers_sha256": "margin.parquet", "mass_sha256": "mass.parquet"}


def matrix_digests(answers: Path) -> dict[str, str]:
    """Return the SHA-256 of a job's margins and mass, by the keys that they have in validation.json."""
    return {key: file_sha256(answers / file) for key, file in _DIGESTED.items()}


def require_approved(answers: Path, validation: Path) -> str:
    """Return the SHA-256 of a job's margins. `answers` and `validation` are the job's folders, named as the job.

    BadMatrix if there is no verdict, if validation failed, or if it approved another matrix than the one that is there.
    """
    matrix, verdict_file = answers / "margin.parquet", validation / "validation.json"
    again = f"run `qaemb validate --job {answers.name}` or `dvc repro`"
    if not verdict_file.exists():
        raise BadMatrix(f"{matrix} is not approved: {verdict_file} does not exist; {again}")
    verdict = read_json(verdict_file)
    if verdict.get("success") is not True:
        raise BadMatrix(
            f"{matrix} failed validation ({verdict_file}); correct the answerer or the limits, run `dvc repro`"
        )
    digest = file_sha256(matrix)
    if digest != verdict.get("answers_sha256"):
        raise BadMatrix(f"{matrix} is not the matrix that {verdict_file} approved; {again}")
    return digest
