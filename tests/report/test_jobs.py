from __future__ import annotations

import pytest

from qaemb.errors import BadInput
from qaemb.report.jobs import JobPlaces, read_job


@pytest.fixture
def read(settings, workspace, write_outputs):
    write_outputs()

    def read(name: str):
        places = JobPlaces(
            workspace.answers(name),
            workspace.metrics("answers", name),
            workspace.validation(name),
            workspace.reports / "data_docs" / name,
            workspace.reports,
        )
        job = settings.answers.jobs[name]
        return read_job(name, job, settings.answers.spec[job.answerer], places)

    return read


def test_a_job_says_what_answered_how_fast_and_how_well(read):
    job = read("llm_sentence")
    assert (job.answerer, job.engine, job.key, job.cells_per_s, job.n_cells) == (
        "llm",
        "shared",
        "abc123def456",
        31.25,
        200,
    )
    assert job.mean_auc == pytest.approx((0.40 + 0.56 + 0.58) / 3)
    assert job.n_graded == 3
    assert job.data_docs == "data_docs/llm_sentence/index.html"
    assert job.margins.counts.sum() == 200


def test_a_job_without_gold_has_no_grade(read):
    assert read("llm_tr").mean_auc is None
    assert read("llm_tr").n_graded == 0


def test_cells_from_the_store_have_no_speed(read, workspace):
    workspace.metrics("answers", "llm_tr").write_text('{"cells_per_s": null}')
    assert read("llm_tr").cells_per_s is None


def test_a_job_that_was_not_validated_is_left_out(read, workspace):
    (workspace.validation("llm_tr") / "validation.json").unlink()
    assert read("llm_tr") is None


def test_grades_with_other_columns_are_named(read, workspace):
    (workspace.validation("llm_sentence") / "grades.csv").write_text("name,score\na,1\n")
    with pytest.raises(BadInput, match=r"grades\.csv lacks some of the columns"):
        read("llm_sentence")
