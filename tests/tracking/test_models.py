"""A student in MLflow: logged, registered, loaded again elsewhere. The student is a stand-in with real files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from qaemb.errors import BadInput, QaembError
from qaemb.tracking import RunRecord, Tracker
from qaemb.tracking.student_pyfunc import _load_pyfunc

TEXTS = pd.DataFrame({"text": ["we ate soup", "nothing", "été — 日本", "", "we ate soup"]})


@pytest.fixture
def tracker(new_tracker, tmp_path) -> Tracker:
    return new_tracker(tmp_path / "old" / "mlruns")


@pytest.fixture
def run_id(tracker) -> str:
    return tracker.log_run("distill", RunRecord("heads"))


def client_of(tracker: Tracker) -> MlflowClient:
    return MlflowClient(tracking_uri=tracker.uri)


def in_a_fresh_process(tracker: Tracker, uri: str, folder: Path, code: str) -> str:
    """Run code on a model that a new process loads as `model` (and TEXTS as `texts`), and return what it prints."""
    TEXTS.to_parquet(folder / "texts.parquet")
    start = f"""
        import mlflow, pandas as pd
        mlflow.set_tracking_uri({tracker.uri!r})
        texts = pd.read_parquet("texts.parquet")
        model = mlflow.pyfunc.load_model({uri!r})
    """
    script = textwrap.dedent(start) + textwrap.dedent(code)
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_process_loads_the_champion_after_a_move_and_answers_to_the_bit(
    tracker, run_id, student, weights, tmp_path, expected
):
    student = replace(student, weights=weights)
    version = tracker.log_model(run_id, student)
    assert (version.name, version.version, version.champion) == ("student-heads", 1, True)
    new = tmp_path / "new place"
    shutil.move(tmp_path / "old", new)
    shutil.move(student.folder, tmp_path / "student elsewhere")
    moved = Tracker(new / "mlruns")
    moved.ui_command()  # corrects the database
    assert not (tmp_path / "old").exists()
    assert client_of(moved).get_logged_model(version.model_id).artifact_location.startswith(new.as_uri())

    code = """
        model.predict(texts).to_parquet("all.parquet")
        model.predict(texts, params={"questions": ["who?", "food"]}).to_parquet("asked.parquet")
        for wrong in (texts.rename(columns={"text": "texts"}), pd.DataFrame({"text": [1, 2]})):
            try:
                model.predict(wrong)
            except mlflow.MlflowException as error:
                print(error)
    """
    printed = in_a_fresh_process(moved, "models:/student-heads@champion", tmp_path, code)
    assert "Model is missing inputs ['text']" in printed
    assert "Incompatible input types for column text" in printed
    student = replace(student, folder=tmp_path / "student elsewhere")
    for name, questions in (("all", None), ("asked", ["who?", "food"])):
        # assert_frame_equal with check_exact compares names, types and every bit but the sign of zero.
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / f"{name}.parquet"), expected(student, TEXTS, questions), check_exact=True
        )
    # The model it stands on was made again, from the source that the record names.
    assert (tmp_path / "cache" / "qaemb" / "models" / "d1" / "qaemb_model.json").exists()


def test_a_version_says_what_it_is(tracker, run_id, student, weights):
    version = tracker.log_model(run_id, replace(student, weights=weights))
    client = client_of(tracker)
    registered = client.get_model_version("student-heads", "1")
    assert registered.run_id == run_id
    assert registered.tags == {
        **{
            "qaemb.key": "key-1",
            "qaemb.teacher": "teacher-1",
            "qaemb.held_out": "0.7",
            "qaemb.figure.auc.seen": "0.84",
        },
        **{"git.commit": "abc", "dvc.data/x_y": "md5"},
    }
    logged = client.get_logged_model(version.model_id)
    assert logged.source_run_id == run_id
    assert str(logged.status) == "READY"
    assert [model.model_id for model in client.get_run(run_id).outputs.model_outputs] == [version.model_id]

    import mlflow

    place = registered.source.removeprefix("file://")
    said = mlflow.models.Model.load(place)
    assert said.signature.inputs.to_dict() == [{"name": "text", "type": "string", "required": True}]
    outputs = [{"name": name, "type": "float", "required": False} for name in student.questions]
    assert said.signature.outputs.to_dict() == outputs
    assert [(p.name, p.default, p.shape) for p in said.signature.params] == [("questions", [], (-1,))]
    assert said.metadata["weights"]["settings"]["path"] == str(weights.folder)
    assert said.load_input_example(place).columns.tolist() == ["text"]
    # What a server gets as JSON, its parameters included, is answered.
    example = json.loads(said.get_serving_input(place))
    assert example["params"] == {"questions": list(student.questions)}
    config = {"model_folder": str(weights.folder)}
    assert mlflow.pyfunc.load_model(place, model_config=config).predict(
        pd.DataFrame(**example["dataframe_split"]), params=example["params"]
    ).columns.tolist() == list(student.questions)
    requirements = (Path(place) / "requirements.txt").read_text().splitlines()
    assert sorted(line.partition("==")[0] for line in requirements) == ["mlflow", "qaemb"]


def test_the_champion_is_the_newest_of_the_best(tracker, run_id, student):
    client, champions = client_of(tracker), []
    for held_out in (0.7, 0.6, 0.7):
        version = tracker.log_model(run_id, replace(student, held_out=held_out))
        champions.append(int(client.get_model_version_by_alias("student-heads", "champion").version))
        assert version.champion == (champions[-1] == version.version)
        assert client.get_latest_versions("student-heads")[0].version == version.version  # models:/student-heads/latest
    assert champions == [1, 1, 3]


def nothing_but_the_run(tracker: Tracker, run_id: str) -> bool:
    client = client_of(tracker)
    experiment = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment])
    files = list((tracker.mlruns / "artifacts" / "distill").glob("models/*"))
    return not (models or files or client.search_registered_models())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"broken": True}}, "the student's files are broken"),
        ({"options": {"dtype": "float64"}}, r"returned float64 \(2, 2\) for 2 texts and 2 names"),
        ({"questions": ("food", "other")}, r"answered \['food', 'motion in the text\?'\] where \['food', 'other'\]"),
    ],
)
def test_a_student_that_can_not_answer_is_not_logged(tracker, run_id, student, change, message):
    with pytest.raises((QaembError, RuntimeError), match=message):
        tracker.log_model(run_id, replace(student, **change))
    assert nothing_but_the_run(tracker, run_id)


def test_a_failure_while_registering_leaves_no_version_and_the_champion_its_alias(tracker, run_id, student):
    client = client_of(tracker)
    database = tracker.mlruns / "mlflow.db"

    def refuse(what: str) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            sql = f"BEFORE {what} ON registered_model_aliases BEGIN SELECT RAISE(ABORT, 'no alias today'); END"
            connection.execute(f"CREATE TRIGGER t {sql}")

    refuse("INSERT")
    with pytest.raises(Exception, match="no alias today"):
        tracker.log_model(run_id, student)
    assert nothing_but_the_run(tracker, run_id)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TRIGGER t")

    first = tracker.log_model(run_id, student)
    refuse("UPDATE")
    with pytest.raises(Exception, match="no alias today"):
        tracker.log_model(run_id, replace(student, held_out=0.9))
    assert [version.version for version in client.search_model_versions("name = 'student-heads'")] == [first.version]
    assert client.get_model_version_by_alias("student-heads", "champion").version == first.version
    experiment = client.get_run(run_id).info.experiment_id
    assert [model.model_id for model in client.search_logged_models([experiment])] == [first.model_id]
    assert len(list((tracker.mlruns / "artifacts" / "distill" / "models").iterdir())) == 1


def test_files_that_can_not_be_written_leave_no_model(tracker, run_id, student):
    (tracker.mlruns / "artifacts" / "distill").mkdir(parents=True)
    blocked = tracker.mlruns / "artifacts" / "distill" / "models"
    blocked.write_text("a file where MLflow needs a folder")
    with pytest.raises(OSError, match="models"):
        tracker.log_model(run_id, student)
    blocked.unlink()
    assert nothing_but_the_run(tracker, run_id)


def test_an_included_model_needs_no_source(tracker, run_id, student, weights, tmp_path, expected):
    included = replace(student, weights=weights, include_model=True)
    version = tracker.log_model(run_id, included)
    own = expected(included, TEXTS)
    shutil.rmtree(weights.folder)
    place = tracker.mlruns / "artifacts" / "distill" / "models" / version.model_id / "artifacts" / "data" / "data"
    pd.testing.assert_frame_equal(_load_pyfunc(str(place)).predict(TEXTS), own, check_exact=True)
    assert not (tmp_path / "cache").exists()


def test_a_student_that_is_told_what_to_ask_has_no_columns_of_its_own(tracker, run_id, student):
    import mlflow

    tracker.log_model(run_id, replace(student, questions=()))
    source = client_of(tracker).get_model_version("student-heads", "1").source
    model = mlflow.pyfunc.load_model(source)
    assert model.metadata.signature.outputs is None
    assert model.predict(TEXTS, params={"questions": ["a?"]}).columns.tolist() == ["a?"]
    with pytest.raises(BadInput, match=r"question `a\?` is asked twice"):
        model.predict(TEXTS, params={"questions": ["a?", "b?", "a?"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a/b"}, r"student `a/b`: a name has letters"),
        ({"held_out": float("nan")}, "the held-out figure is nan"),
        ({"folder": Path("missing")}, "missing is not a folder"),
        ({"opener": "stand_in:close_student"}, "`stand_in:close_student` does not name a function"),
        ({"opener": "no_such_module:f"}, "`no_such_module:f` does not name a function"),
        ({"opener": "stand_in"}, "`stand_in` does not name a function"),
        ({"opener": "math:pi"}, "`math:pi` is not a function"),
    ],
)
def test_a_wrong_record_is_named(student, change, message):
    with pytest.raises(BadInput, match=message):
        replace(student, **change).check()
