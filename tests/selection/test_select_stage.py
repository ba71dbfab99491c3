"""The stage on the planted world: files, the chosen set, runs, and what a failure leaves."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from qaemb.errors import BadParameter
from qaemb.files import read_json
from qaemb.questions.sets import read_set_file
from qaemb.stages.select import select
from qaemb.workspace import Workspace


@pytest.fixture(scope="module")
def selected(world) -> Workspace:
    select(world.settings(), world.workspace, "qa")
    return world.workspace


def test_the_path_has_the_columns_of_the_contract(selected, world):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet")
    assert list(path.columns) == ["subject", "method", "repeat", "alpha", "n_questions", "questions", "r"]
    assert (path["questions"].map(len) == path["n_questions"]).all()
    assert set(path.explode("questions")["questions"]) <= set(world.names)
    assert path[path["method"] == "random"]["alpha"].isna().all()
    assert path[path["method"] == "elastic_net"]["alpha"].notna().all()
    sizes = path.groupby("method")["n_questions"].agg(set)
    assert sizes["random"] == sizes["elastic_net"]
    counts = path.groupby(["subject", "method", "n_questions"]).size().groupby("method").unique()
    assert counts["random"].tolist() == [3]
    assert counts["elastic_net"].tolist() == [1]


def test_the_curve_is_the_mean_over_repeats(selected):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet")
    curve = pd.read_csv(selected.selection("qa") / "curve.csv")
    assert list(curve.columns) == ["method", "n_questions", "subject", "r", "sd", "repeats"]
    for row in curve.itertuples():
        own = path.query("method == @row.method and n_questions == @row.n_questions and subject == @row.subject")["r"]
        assert row.r == pytest.approx(own.mean())
        if row.method == "random":
            assert row.sd == pytest.approx(own.std())
    assert (selected.selection("qa") / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_chosen_set_is_a_set_file_with_the_questions_that_matter(selected, world):
    file = selected.selected / "qa.yaml"
    content = yaml.safe_load(file.read_text())
    assert list(content) == ["set", "description", "provenance", "questions"]
    chosen = read_set_file(file)
    assert chosen.name == "selected_qa"
    assert {world.names[1], world.names[2]} <= set(chosen.names)
    assert {world.names[0], world.names[3]} & set(chosen.names)
    assert len(chosen.names) <= 5


def test_metrics_compare_the_chosen_set_with_chance(selected):
    metrics = read_json(selected.metrics("select", "qa"))
    assert metrics["n_all"] == 12
    assert metrics["n_chosen"] == len(yaml.safe_load((selected.selected / "qa.yaml").read_text())["questions"])
    for own in metrics["subjects"].values():
        assert own["r_chosen"] > own["r_random"]


def test_every_point_is_a_run_and_the_parent_holds_the_curve(selected):
    from mlflow.tracking import MlflowClient

    from qaemb.tracking import Tracker

    client = MlflowClient(Tracker(selected.mlruns).uri)
    experiment = client.get_experiment_by_name("select planted")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    points = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    curve = pd.read_csv(selected.selection("qa") / "curve.csv")
    expected = {f"{method} {size}" for method, size in zip(curve["method"], curve["n_questions"], strict=True)}
    assert {run.info.run_name for run in points} == expected
    path_points = [run for run in points if run.data.params["method"] == "elastic_net"]
    assert all({"cv_r", "r_S1", "r_S2", "n_questions"} <= set(run.data.metrics) for run in path_points)
    files = {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    assert files == {"curve.png", "qa.yaml"}


def test_given_sizes_are_scored_under_either_protocol(world):
    before = (world.workspace.selected / "qa.yaml").read_bytes()
    for protocol in ("reference", "strict"):
        select(world.settings(sizes=[4, 2], protocol=protocol), world.workspace, "qa")
        curve = pd.read_csv(world.workspace.selection("qa") / "curve.csv")
        assert set(curve["n_questions"]) == {2, 4}
    select(world.settings(), world.workspace, "qa")
    assert (world.workspace.selected / "qa.yaml").read_bytes() == before


def test_an_impossible_size_leaves_the_old_selection(selected, world):
    before = (selected.selection("qa") / "path.parquet").read_bytes()
    with pytest.raises(BadParameter, match="13 is not between 1 and 12"):
        select(world.settings(sizes=[13]), selected, "qa")
    assert (selected.selection("qa") / "path.parquet").read_bytes() == before


def test_an_unlisted_space_is_refused(world):
    with pytest.raises(BadParameter, match=r"no space `gold` in select\.spaces; there are: qa"):
        select(world.settings(), world.workspace, "gold")
