"""Only the matrix that `validate` approved goes further."""

import pytest

from qaemb.answers.approval import matrix_digests, require_approved
from qaemb.errors import BadMatrix
from qaemb.files import write_json


@pytest.fixture
def folders(tmp_path):
    answers, validation = tmp_path / "answers" / "j", tmp_path / "validation" / "j"
    answers.mkdir(parents=True)
    (answers / "margin.parquet").write_bytes(b"margins")
    (answers / "mass.parquet").write_bytes(b"mass")
    write_json(validation / "validation.json", {"success": True, **matrix_digests(answers)})
    return answers, validation


def test_the_approved_matrix_passes_with_its_digest(folders):
    answers, _ = folders
    assert require_approved(*folders) == matrix_digests(answers)["answers_sha256"]


def test_another_matrix_a_failed_one_and_one_without_a_verdict_are_refused(folders):
    answers, validation = folders
    (answers / "margin.parquet").write_bytes(b"others")
    with pytest.raises(BadMatrix, match="is not the matrix that .* approved; run `qaemb validate --job j`"):
        require_approved(answers, validation)
    write_json(validation / "validation.json", {"success": False, **matrix_digests(answers)})
    with pytest.raises(BadMatrix, match="failed validation"):
        require_approved(answers, validation)
    (validation / "validation.json").unlink()
    with pytest.raises(BadMatrix, match="is not approved: .* does not exist; run `qaemb validate --job j`"):
        require_approved(answers, validation)
