"""The stage on the planted world: files, the chosen set, runs, and what a failure leaves."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from qaemb.errors import BadParameter
from qaemb.files import read_json
from qaemb.questions.sets import read_set_file
from qaemb.selection.methods import METHODS, Subset, _Method
from qaemb.stages.select import select
from qaemb.workspace import Workspace


@pytest.fixture(scope="module")
def selected(world) -> Workspace:
    select(world.settings(), world.workspace, "qa")
    return world.workspace


def test_the_path_has_the_columns_of_the_contract(selected, world):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet")
    assert list(path.columns) == [
        "subject",
        "method",
        "repeat",
        "fold",
        "alpha",
        "n_questions",
        "questions",
        "r",
        "cv_r",
    ]
    assert (path["questions"].map(len) == path["n_questions"]).all()
    assert set(path.explode("questions")["questions"]) <= set(world.names)
    assert path[path["method"] == "random"]["alpha"].isna().all()
    assert path[path["method"] == "elastic_net"]["alpha"].notna().all()
    sizes = path.groupby("method")["n_questions"].agg(set)
    assert sizes["random"] == sizes["elastic_net"] == sizes["most_frequent"]
    counts = path.groupby(["subject", "fold", "method", "n_questions"]).size().groupby("method").unique()
    assert counts["random"].tolist() == [3]
    assert counts["elastic_net"].tolist() == counts["most_frequent"].tolist() == [1]
    assert set(path["fold"]) == {-1, 0, 1, 2}
    assert path["cv_r"].notna().all()
    assert (path["r"].isna() == (path["fold"] >= 0)).all()


def test_nested_r_of_a_set_is_the_mean_over_its_folds(selected):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet").set_index(
        ["subject", "method", "repeat", "n_questions"]
    )
    folds = path[path["fold"] >= 0].groupby(level=[0, 1, 2, 3])["cv_r"].mean()
    final = path[path["fold"] < 0]["cv_r"]
    pd.testing.assert_series_equal(final.sort_index(), folds.sort_index())


def test_the_curve_is_the_mean_over_repeats(selected):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet")
    curve = pd.read_csv(selected.selection("qa") / "curve.csv")
    assert list(curve.columns) == ["method", "n_questions", "subject", "r", "sd", "repeats", "cv_r", "cv_se"]
    assert curve["method"].iloc[0] == "elastic_net"  # the first is the one that chooses
    for row in curve.itertuples():
        own = path.query("method == @row.method and n_questions == @row.n_questions and subject == @row.subject")
        test, nested = own[own["fold"] < 0]["r"], own[own["fold"] >= 0].groupby("fold")["cv_r"].mean()
        assert row.r == pytest.approx(test.mean())
        assert row.cv_r == pytest.approx(nested.mean())
        assert row.cv_se == pytest.approx(nested.std() / 3**0.5)
        if row.method == "random":
            assert row.sd == pytest.approx(test.std())
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


def test_the_rule_holds_for_the_scores_in_the_files(selected):
    path = pd.read_parquet(selected.selection("qa") / "path.parquet").query("method == 'elastic_net' and fold >= 0")
    folds = path.groupby(["n_questions", "fold"])["cv_r"].mean().unstack()
    best = folds.mean(axis=1).idxmax()
    limit = folds.loc[best].mean() - folds.loc[best].std() / 3**0.5
    metrics = read_json(selected.metrics("select", "qa"))
    assert metrics["n_chosen"] == folds.index[folds.mean(axis=1) >= limit].min()
    assert metrics["cv_r"] == pytest.approx(folds.loc[metrics["n_chosen"]].mean())
    assert metrics["cv_se"] == pytest.approx(folds.loc[metrics["n_chosen"]].std() / 3**0.5)


def test_entry_has_the_chosen_questions_first_with_their_share_of_folds(selected):
    entry = pd.read_csv(selected.selection("qa") / "entry.csv")
    assert list(entry.columns) == ["question", "n_questions", "chosen", "fold_share"]
    assert entry["n_questions"].is_monotonic_increasing
    assert not entry["question"].duplicated().any()
    chosen = read_set_file(selected.selected / "qa.yaml").names
    assert set(entry[entry["chosen"]]["question"]) == set(chosen)
    path = pd.read_parquet(selected.selection("qa") / "path.parquet")
    own = path.query("subject == 'S1' and method == 'elastic_net' and fold >= 0")
    own = own[own["n_questions"] == len(chosen)]
    for row in entry.itertuples():
        assert row.fold_share == pytest.approx(own["questions"].map(lambda names, q=row.question: q in names).mean())


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
    assert all({"cv_r", "cv_se", "r_S1", "cv_r_S2", "n_questions"} <= set(run.data.metrics) for run in path_points)
    files = {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    assert files == {"curve.png", "curve.csv", "entry.csv", "qa.yaml"}
    assert {"n_chosen", "cv_r", "cv_se"} <= set(parents[0].data.metrics)


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


@pytest.mark.parametrize(("method", "how"), [("stability", "4 halves of the stories"), ("greedy", "greedy forward")])
def test_another_method_chooses_where_it_stands_first(world, method, how):
    """The last in this file: it leaves another selection."""
    settings = world.settings(methods=[method, "elastic_net"], sizes=[2, 4], n_resamples=4, n_random=1)
    select(settings, world.workspace, "qa")
    content = yaml.safe_load((world.workspace.selected / "qa.yaml").read_text())
    assert how in content["provenance"]
    assert read_json(world.workspace.metrics("select", "qa"))["method"] == method
    entry = pd.read_csv(world.workspace.selection("qa") / "entry.csv")
    assert ("half_share" in entry) == (method == "stability")
    assert set(entry[entry["chosen"]]["question"]) == set(content["questions"])
    curve = pd.read_csv(world.workspace.selection("qa") / "curve.csv")
    assert list(dict.fromkeys(curve["method"])) == [method, "elastic_net", "random", "most_frequent"]


def test_a_method_of_ones_own_has_its_name_in_the_provenance(world, monkeypatch):
    def first(training, sizes, settings):
        return [Subset("greedy", 0, size, tuple(range(size))) for size in sizes]

    method = _Method(first, lambda subset, settings: f"the first {subset.size} questions", look=("#000000", "-"))
    monkeypatch.setitem(METHODS, "greedy", method)
    select(world.settings(methods=["greedy"], sizes=[2, 4], n_random=1), world.workspace, "qa")
    content = yaml.safe_load((world.workspace.selected / "qa.yaml").read_text())
    assert content["provenance"].startswith(f"the first {len(content['questions'])} questions on all train stories")
