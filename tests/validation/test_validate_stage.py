"""The stage `validate` on real files: a sound matrix is approved, and each kind of bad one is refused by name."""

import json
import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput, BadMatrix, BadParameter
from qaemb.identity import file_sha256, text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.stages.validate import validate


def test_a_sound_matrix_is_approved(workspace, settings_of, capsys):
    validate(settings_of(), workspace, "j")
    verdict = json.loads((workspace.validation("j") / "validation.json").read_text())
    assert verdict["success"] is True
    assert verdict["answers_sha256"] == file_sha256(workspace.answers("j") / "margin.parquet")
    assert verdict["mass_sha256"] == file_sha256(workspace.answers("j") / "mass.parquet")
    assert (verdict["n_segments"], verdict["n_questions"]) == (8, 3)
    assert len(verdict["expectations"]) == 16
    assert {"type", "column", "success", "observed"} <= set(verdict["expectations"][0])
    assert pd.read_parquet(workspace.validation("j") / "summary.parquet")["name"].tolist() == [
        "food",
        "motion",
        "place",
    ]
    assert (workspace.reports / "data_docs" / "j" / "index.html").exists()
    assert "margins vary" in (workspace.reports / "data_docs" / "j" / "expectations" / "questions.html").read_text()
    metrics = json.loads(workspace.metrics("validate", "j").read_text())
    assert metrics["success"] is True
    assert "mean_auc" not in metrics
    assert capsys.readouterr().out.count("\n") == 1


def test_the_verdict_is_the_same_every_time(workspace, settings_of):
    validate(settings_of(), workspace, "j")
    first = {path.name: path.read_bytes() for path in workspace.validation("j").iterdir()}
    validate(settings_of(), workspace, "j")
    assert {path.name: path.read_bytes() for path in workspace.validation("j").iterdir()} == first


def test_the_data_docs_are_the_same_every_time(workspace, settings_of):
    docs = workspace.reports / "data_docs" / "j"
    validate(settings_of(), workspace, "j")
    first = {path.relative_to(docs): path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    validate(settings_of(), workspace, "j")
    assert {path.relative_to(docs): path.read_bytes() for path in docs.rglob("*") if path.is_file()} == first
    links = re.findall(r"'validations/[^']*'", (docs / "index.html").read_text())
    assert links
    assert all((docs / link.strip("'")).is_file() for link in links)
    assert f"{datetime.now(UTC):%Y-%m-%d}".encode() not in b"".join(first.values())


def test_grades_are_written_where_there_is_gold(workspace, settings_of, matrices):
    truth = [True, False] * 4
    gold = pd.DataFrame({"story": "s", "index": np.arange(8, dtype=np.int32), "p_food": truth, "p_motion": False})
    gold.to_parquet(workspace.dataset / "gold.parquet")
    validate(settings_of(), workspace, "j")
    grades = pd.read_csv(workspace.validation("j") / "grades.csv").set_index("name")
    margins = matrices[0]["food"].to_numpy()
    by_hand = np.mean([yes > no for yes in margins[0::2] for no in margins[1::2]])
    assert grades.index.tolist() == ["food", "motion"]
    assert grades.loc["food", "auc"] == pytest.approx(by_hand)
    assert np.isnan(grades.loc["motion", "auc"])
    metrics = json.loads(workspace.metrics("validate", "j").read_text())
    assert (metrics["n_graded"], metrics["mean_auc"]) == (1, pytest.approx(by_hand, abs=1e-6))
    validate(settings_of(kind="tr"), workspace, "j")
    assert not (workspace.validation("j") / "grades.csv").exists()


def _nan_cell(margin, mass):
    margin.loc[3, "motion"] = np.nan


def _infinite_cell(margin, mass):
    margin.loc[3, "motion"] = np.inf


def _nan_mass(margin, mass):
    mass.loc[0, "motion"] = np.nan


def _constant(margin, mass):
    margin["motion"] = np.float32(0.25)


def _out_of_range(margin, mass):
    margin.loc[1, "motion"] = 61


def _mass_above_one(margin, mass):
    mass.loc[1, "motion"] = 1.2


def _negative_mass(margin, mass):
    mass.loc[1, "motion"] = -0.1


def _missing_column(margin, mass):
    margin.drop(columns="motion", inplace=True)


def _unknown_column(margin, mass):
    margin.rename(columns={"motion": "motions"}, inplace=True)


def _missing_column_of_mass(margin, mass):
    mass.drop(columns="motion", inplace=True)


def _no_answers(margin, mass):
    margin["motion"] = np.float32(np.nan)


FAULTS = [
    (_nan_cell, "no margin is missing.*`motion` has n_missing = 1"),
    (_infinite_cell, "no margin is missing.*`motion` has n_missing = 1"),
    (_nan_mass, "no mass is missing.*`motion` has n_missing_mass = 1"),
    (_constant, "margins vary.*`motion` has sd = 0"),
    (_out_of_range, "at most 60 nats.*`motion` has max = 61"),
    (_mass_above_one, "mass is at most 1.*`motion` has max_mass = 1.2"),
    (_negative_mass, "mass is at least 0.*`motion` has min_mass = -0.1"),
    (_missing_column, "margin: .*missing `motion`"),
    (_unknown_column, "margin: .*missing `motion`; unknown `motions`"),
    (_missing_column_of_mass, "mass: .*missing `motion`"),
    (_no_answers, "there are margins; but `motion`"),
]


@pytest.mark.parametrize(("spoil", "says"), FAULTS, ids=[spoil.__name__[1:] for spoil, _ in FAULTS])
def test_a_bad_matrix_is_refused_and_its_question_named(workspace, settings_of, matrices, write_matrices, spoil, says):
    workspace.validation("j").mkdir(parents=True)
    (workspace.validation("j") / "validation.json").write_text('{"success": true}')
    margin, mass = matrices
    spoil(margin, mass)
    write_matrices(workspace, margin, mass)
    with pytest.raises(BadMatrix, match=says) as caught:
        validate(settings_of(), workspace, "j")
    docs = workspace.reports / "data_docs" / "j"
    assert "answers job `j`" in str(caught.value)
    assert str(docs / "index.html") in str(caught.value)
    assert (docs / "index.html").exists()
    assert json.loads((docs / "validation.json").read_text())["success"] is False
    assert json.loads(workspace.metrics("validate", "j").read_text())["success"] is False
    assert not workspace.validation("j").exists()


def test_low_mass_is_refused_above_the_limit_of_the_settings(workspace, settings_of):
    with pytest.raises(BadMatrix, match=r"mean mass is at least 0\.99; but `food` has mean_mass"):
        validate(settings_of(min_mean_mass=0.99), workspace, "j")


def _duplicate(margin, mass):
    for table in (margin, mass):
        table.loc[1, "segment_id"] = table.loc[0, "segment_id"]


def _swapped(margin, mass):
    for table in (margin, mass):
        table.loc[[0, 1], "segment_id"] = table.loc[[1, 0], "segment_id"].to_numpy()


def _other_order_of_mass(margin, mass):
    mass["segment_id"] = mass["segment_id"].to_numpy()[::-1]


def _one_row_less(margin, mass):
    for table in (margin, mass):
        table.drop(index=7, inplace=True)


ROW_FAULTS = [
    (_duplicate, f"no segment stands there twice; but `{text_id('Sentence number 0.')}`"),
    (_swapped, f"the rows are the segments of the segmentation.*but `{text_id('Sentence number 1.')}`"),
    (_other_order_of_mass, f"margin and mass have the same rows; but `{text_id('Sentence number 0.')}`"),
    (_one_row_less, "a row for each of the 8 segments; but found 7"),
]


@pytest.mark.parametrize(("spoil", "says"), ROW_FAULTS, ids=[spoil.__name__[1:] for spoil, _ in ROW_FAULTS])
def test_wrong_rows_are_refused(workspace, settings_of, matrices, write_matrices, spoil, says):
    margin, mass = matrices
    spoil(margin, mass)
    write_matrices(workspace, margin, mass)
    with pytest.raises(BadMatrix, match=says):
        validate(settings_of(), workspace, "j")


def test_an_empty_matrix_is_refused(workspace, settings_of, matrices, write_matrices):
    write_matrices(workspace, matrices[0].iloc[:0], matrices[1].iloc[:0])
    pd.DataFrame({"segment_id": pd.Series([], dtype=str)}).to_parquet(workspace.segments("cut") / "segments.parquet")
    with pytest.raises(BadMatrix, match="there are margins; but `food`"):
        validate(settings_of(), workspace, "j")


def test_a_matrix_without_segment_ids_is_refused(workspace, settings_of, matrices, write_matrices):
    write_matrices(workspace, matrices[0].drop(columns="segment_id"), matrices[1])
    with pytest.raises(BadMatrix, match=r"margin\.parquet has no column `segment_id`"):
        validate(settings_of(), workspace, "j")


def test_unknown_jobs_and_sets_are_named(workspace, settings_of):
    with pytest.raises(BadParameter, match=r"no answers job `k` in params.yaml: answers.jobs; there are: j"):
        validate(settings_of(), workspace, "k")
    question = Question("food", "Does the text mention food?")
    write_tables(workspace.questions, [question], [QuestionSet("full", (question,))], [])
    with pytest.raises(BadInput, match="no question set `core`; known are full"):
        validate(settings_of(), workspace, "j")


def test_missing_answers_say_how_to_make_them(workspace, settings_of):
    (workspace.answers("j") / "mass.parquet").unlink()
    with pytest.raises(BadInput, match="dvc repro"):
        validate(settings_of(), workspace, "j")
