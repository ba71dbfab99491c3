"""A `qa` space of several jobs: each placed on rows as if alone, z-scored per story, averaged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.errors import BadInput, BadMatrix, BadParameter
from qaemb.features.space import read_space
from qaemb.files import read_json, read_table, write_json, write_table
from qaemb.identity import file_sha256
from qaemb.settings import Settings, SpaceSettings
from qaemb.stages.features import features
from qaemb.workspace import Workspace

PARAMS = Path(__file__).parents[2] / "params.yaml"
VALIDATION = "data/work/validation"


def approve(workspace: Workspace, job: str) -> None:
    digest = file_sha256(workspace.answers(job) / "margin.parquet")
    write_json(workspace.validation(job) / "validation.json", {"success": True, "answers_sha256": digest})


def answer(workspace: Workspace, job: str, segmentation: str, table: pd.DataFrame) -> None:
    """Write a matrix of the segments with the columns of `table` and approve it."""
    ids = read_table(workspace.segments(segmentation) / "segments.parquet")[["segment_id"]]
    write_table(workspace.answers(job) / "margin.parquet", ids.join(table))
    approve(workspace, job)


@pytest.fixture
def workspace(source) -> Workspace:
    """A workspace with approved jobs: `a` and `b` on words, the questions of `b` turned round, and `c` on TRs."""
    workspace = Workspace(source.root)
    source.dataset.parent.mkdir(parents=True, exist_ok=True)
    for kind, cut in (("words", {"before": 2}), ("tr", {})):
        source.cut(kind, **cut)
    for made, place in ((source.root / "segments", workspace.work / "segments"), (source.dataset, workspace.dataset)):
        place.parent.mkdir(parents=True, exist_ok=True)
        made.rename(place)
    rng = np.random.default_rng(0)
    for job, segmentation, scale in (("a", "words", 1.0), ("b", "words", 5.0), ("c", "tr", 1.0)):
        n = len(read_table(workspace.segments(segmentation) / "segments.parquet"))
        columns = ["food", "motion"] if job != "b" else ["motion", "food"]
        answer(workspace, job, segmentation, pd.DataFrame(scale * rng.normal(size=(n, 2)), columns=columns, dtype="f4"))
    return workspace


@pytest.fixture
def settings() -> Settings:
    values = yaml.safe_load(PARAMS.read_text())
    values["validate"].pop("drift")
    values["distill"] = {}
    values["segments"] = {"words": {"kind": "words", "before": 2}, "tr": {"kind": "tr"}}
    answerer = next(iter(values["answers"]["spec"]))
    values["answers"]["jobs"] = {
        job: {"answerer": answerer, "segmentation": "tr" if job == "c" else "words", "set": "core"} for job in "abc"
    }
    spaces = {job: {"kind": "qa", "job": job, "input": f"{VALIDATION}/{job}"} for job in "abc"}
    spaces |= {name: {"kind": "qa", "jobs": list(name), "input": VALIDATION} for name in ("ab", "bac")}
    spaces["narrow"] = {"kind": "qa", "jobs": ["a", "b"], "input": f"{VALIDATION}/a"}
    spaces["probability"] = {"kind": "qa", "jobs": ["a", "c"], "value": "probability", "input": VALIDATION}
    values["features"]["spaces"] = spaces
    values["encode"]["spaces"], values["select"]["spaces"], values["publish"]["job"] = {}, [], "a"
    return Settings.model_validate(values)


def made(settings: Settings, workspace: Workspace, space: str) -> pd.DataFrame:
    features(settings, workspace, space)
    return read_table(workspace.features(space) / "features.parquet")


def scaled(table: pd.DataFrame) -> pd.DataFrame:
    """Features z-scored per story with plain pandas, columns in the order food, motion."""
    own = table.set_index(["story", "tr"])[["food", "motion"]].astype("f8")
    groups = own.groupby("story", sort=False)
    return (own - groups.transform("mean")) / groups.transform("std", ddof=0)


@pytest.mark.parametrize("space", ["ab", "bac"])
def test_the_space_is_the_mean_of_what_the_jobs_alone_give_z_scored(settings, workspace, space):
    alone = {job: made(settings, workspace, job) for job in space}
    got = made(settings, workspace, space)
    assert list(got) == ["story", "tr", *list(alone[space[0]])[2:]]  # names in the order of the first job
    expected = sum(scaled(table) for table in alone.values()) / len(space)
    np.testing.assert_allclose(got.set_index(["story", "tr"])[["food", "motion"]], expected, atol=1e-6)
    one = read_space(workspace.features(space) / "features.parquet").values["one"]
    assert (one.std(axis=0) < 1).all()  # what the jobs disagree on counts less: no z-score afterwards
    assert read_json(workspace.features(space) / "space.json")["settings"]["jobs"] == list(space)


def test_values_are_turned_before_they_are_averaged(settings, workspace):
    got = made(settings, workspace, "probability").set_index(["story", "tr"])
    matrices = {job: workspace.answers(job) / "margin.parquet" for job in "ac"}
    for job, path in matrices.items():
        table = read_table(path)
        table[["food", "motion"]] = 1 / (1 + np.exp(-table[["food", "motion"]]))
        write_table(path, table)
        approve(workspace, job)
    expected = (scaled(made(settings, workspace, "a")) + scaled(made(settings, workspace, "c"))) / 2
    np.testing.assert_allclose(got[["food", "motion"]], expected, atol=1e-5)


def test_a_question_that_does_not_vary_in_a_story_counts_as_its_mean(settings, workspace):
    table = read_table(workspace.answers("c") / "margin.parquet")
    write_table(workspace.answers("c") / "margin.parquet", table.assign(food=np.float32(0.0)))
    approve(workspace, "c")
    got = made(settings, workspace, "bac").set_index(["story", "tr"])["food"]
    others = scaled(made(settings, workspace, "a")) + scaled(made(settings, workspace, "b"))
    np.testing.assert_allclose(got, others["food"] / 3, atol=1e-6)


@pytest.mark.parametrize("job", ["a", "b"])
def test_every_jobs_matrix_must_be_approved(settings, workspace, job):
    path = workspace.answers(job) / "margin.parquet"
    table = read_table(path)
    write_table(path, table.assign(food=table["food"] + 1))
    with pytest.raises(BadMatrix, match=f"{re.escape(str(path))} is not the matrix"):
        features(settings, workspace, "ab")
    write_json(workspace.validation(job) / "validation.json", {"success": False})
    with pytest.raises(BadMatrix, match=f"{re.escape(str(path))} failed validation"):
        features(settings, workspace, "ab")
    assert not workspace.features("ab").exists()


def test_jobs_of_different_questions_are_named(settings, workspace):
    table = read_table(workspace.answers("b") / "margin.parquet")
    write_table(workspace.answers("b") / "margin.parquet", table.rename(columns={"food": "place"}))
    approve(workspace, "b")
    with pytest.raises(BadInput, match=r"jobs `a` and `b` .*: 2 questions are in one of them only \(`food`, `place`\)"):
        features(settings, workspace, "ab")
    many = table.assign(**{f"q{n}": table["food"] for n in range(9)})
    write_table(workspace.answers("b") / "margin.parquet", many)
    approve(workspace, "b")
    with pytest.raises(BadInput, match=r"9 questions .* \(`q0`, `q1`, `q2`, `q3`, `q4`, \.\.\.\); give both the same"):
        features(settings, workspace, "ab")


def test_the_input_must_hold_every_jobs_validation(settings, workspace):
    with pytest.raises(
        BadParameter, match=r"spaces\.narrow\.input: .* validation of job `b`.* give data/work/validation"
    ):
        features(settings, workspace, "narrow")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "kind `qa` needs `job`, or `jobs`"),
        ({"job": "a", "jobs": ["a", "b"]}, "and not both"),
        ({"jobs": ["a"]}, "two or more different answers jobs"),
        ({"jobs": ["a", "b", "a"]}, "two or more different answers jobs"),
        ({"kind": "gold", "jobs": ["a", "b"]}, "answers jobs of a space of kind `qa`"),
    ],
)
def test_one_job_or_several_different_ones_are_given(changes, message):
    with pytest.raises(ValueError, match=message):
        SpaceSettings.model_validate({"kind": "qa", "input": "x", **changes})


def test_an_unknown_job_is_named(settings):
    values = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    values["features"]["spaces"]["ab"]["jobs"] = ["a", "z"]
    with pytest.raises(ValueError, match=r"features\.spaces\.ab\.jobs: `z` is not in answers\.jobs \(a, b, c\)"):
        Settings.model_validate(values)
