"""The stage `answers` from files to files: only new cells are answered, and the store alone makes the matrix."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput, BadParameter, StoreError
from qaemb.files import write_table
from qaemb.identity import text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswersJob, AnswersSettings, Settings
from qaemb.stages.answers import answers, plan_job
from qaemb.workspace import Workspace

from .conftest import TEXTS, spec_for

BANK = [
    Question("food", "Does the text mention food?"),
    Question("animal", "Is an animal named?"),
    Question("motion", "Does someone move?"),
]


@pytest.fixture
def workspace(tmp_path, tiny_llm, tiny_encoder) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    shutil.copytree(tiny_llm, workspace.model("tiny"))
    shutil.copytree(tiny_encoder, workspace.model("tiny_encoder"))
    write_segments(workspace, TEXTS)
    sets = [QuestionSet("two", tuple(BANK[:2])), QuestionSet("three", tuple(BANK[::-1]))]
    write_tables(workspace.questions, BANK, sets, [])
    return workspace


@pytest.fixture
def settings() -> Settings:
    spec = {
        "llm": spec_for("shared"),
        "oracle": spec_for("reference"),
        "student": spec_for("student", model="tiny_encoder"),
    }
    jobs = {
        "small": AnswersJob(answerer="llm", segmentation="tr", set="two"),
        "large": AnswersJob(answerer="llm", segmentation="tr", set="three"),
        "slow": AnswersJob(answerer="oracle", segmentation="tr", set="two"),
        "student": AnswersJob(answerer="student", segmentation="tr", set="three"),
        "lost": AnswersJob(answerer="llm", segmentation="tr", set="nowhere"),
    }
    return Settings.model_construct(answers=AnswersSettings(spec=spec, jobs=jobs, block_texts=4))


def write_segments(workspace: Workspace, texts: list[str]) -> None:
    table = pd.DataFrame({"segment_id": [text_id(text) for text in texts], "text": texts})
    write_table(workspace.segments("tr") / "segments.parquet", table)


def figures(workspace: Workspace, job: str) -> dict[str, float]:
    return json.loads(workspace.metrics("answers", job).read_text())


def run_figures(workspace: Workspace, job: str) -> dict[str, float]:
    return json.loads(workspace.run_figures("answers", job).read_text())


def contents(workspace: Workspace, job: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.answers(job).iterdir()}


@pytest.mark.parametrize("job", ["small", "student"])
def test_the_matrix_has_the_contracts_shape_and_order(settings, workspace, job, capsys):
    answers(settings, workspace, job)
    margin, mass = (pd.read_parquet(workspace.answers(job) / f"{name}.parquet") for name in ("margin", "mass"))
    names = ["food", "animal"] if job == "small" else ["motion", "animal", "food"]
    for table in (margin, mass):
        assert list(table) == ["segment_id", *names]
        assert table["segment_id"].tolist() == [text_id(text) for text in TEXTS]
        assert (table.dtypes[names] == np.float32).all()
        assert np.isfinite(table[names].to_numpy()).all()
    n = len(TEXTS) * len(names)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"answers {job}: {n} cells wanted, 0 in the store, {n} to answer in 2 blocks, ")
    assert out[-1].startswith(f"answers {job}: {n} cells, {n} answered now, ")
    assert set(contents(workspace, job)) == {"margin.parquet", "mass.parquet", "answered.parquet", "spec.json"}


def test_the_spec_says_what_the_matrix_is(settings, workspace):
    answers(settings, workspace, "small")
    spec = json.loads((workspace.answers("small") / "spec.json").read_text())
    model = json.loads((workspace.model("tiny") / "qaemb_model.json").read_text())
    assert spec["model"] == model
    assert spec["model_digest"] == spec["spec"]["model_digest"] == model["digest"]
    assert spec["key"] in {path.name for path in (workspace.root / "data/store").iterdir()}
    assert spec["questions"][0] == {"name": "food", "question_id": BANK[0].question_id, "text": BANK[0].text}
    assert (spec["answerer"], spec["segmentation"], spec["set"], spec["n_cut"]) == ("llm", "tr", "two", 0)
    assert {"prompt", "labels", "dtype", "engine_version"} < set(spec["spec"])


def test_the_time_of_each_row_is_that_of_its_blocks(settings, workspace):
    answers(settings, workspace, "small")
    table = pd.read_parquet(workspace.answers("small") / "answered.parquet")
    assert table["segment_id"].tolist() == [text_id(text) for text in TEXTS]
    assert str(table["answered_at"].dt.tz) == "UTC"
    now = pd.Timestamp.now(tz="UTC")
    assert table["answered_at"].between(now - pd.Timedelta(minutes=5), now).all()


def test_figures_are_those_of_this_run(settings, workspace):
    answers(settings, workspace, "small")
    first, run = figures(workspace, "small"), run_figures(workspace, "small")
    mass = pd.read_parquet(workspace.answers("small") / "mass.parquet").drop(columns="segment_id")
    assert first["cells"] == run["cells_answered_now"] == 2 * len(TEXTS)
    assert first["mean_mass"] == pytest.approx(mass.to_numpy().mean(), abs=1e-5)
    assert min(run["tokens"], run["seconds"], run["cells_per_s"]) > 0
    answers(settings, workspace, "small")
    again = run_figures(workspace, "small")
    assert again == {"cells_answered_now": 0, "cells_per_s": 0, "tokens": 0, "seconds": again["seconds"]}
    assert figures(workspace, "small") == first  # what DVC keeps is the same, whatever was in the store


def test_the_same_store_gives_the_same_files(settings, workspace):
    answers(settings, workspace, "small")
    first = contents(workspace, "small")
    shutil.rmtree(workspace.answers("small"))
    (workspace.model("tiny") / "model.safetensors").unlink()  # not needed any more
    answers(settings, workspace, "small")
    assert contents(workspace, "small") == first


def test_one_more_question_answers_that_question_alone_and_moves_no_other_cell(settings, workspace):
    answers(settings, workspace, "small")
    answers(settings, workspace, "large")
    assert run_figures(workspace, "large")["cells_answered_now"] == len(TEXTS)
    small, large = (pd.read_parquet(workspace.answers(job) / "margin.parquet") for job in ("small", "large"))
    pd.testing.assert_frame_equal(small, large[small.columns], check_exact=True)


def test_one_more_text_answers_that_text_alone(settings, workspace):
    answers(settings, workspace, "small")
    old = pd.read_parquet(workspace.answers("small") / "margin.parquet")
    write_segments(workspace, ["a new first text", *TEXTS])
    answers(settings, workspace, "small")
    assert run_figures(workspace, "small")["cells_answered_now"] == 2
    new = pd.read_parquet(workspace.answers("small") / "margin.parquet")
    pd.testing.assert_frame_equal(new.iloc[1:].reset_index(drop=True), old, check_exact=True)


def test_engines_of_one_key_share_their_answers(settings, workspace):
    answers(settings, workspace, "small")
    answers(settings, workspace, "slow")
    assert run_figures(workspace, "slow")["cells_answered_now"] == 0


def test_a_flipped_byte_is_named_and_repaired_by_that_block_only(settings, workspace):
    answers(settings, workspace, "small")
    first = contents(workspace, "small")
    block = sorted((workspace.root / "data/store").rglob("*.parquet"))[0]
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 4
    block.write_bytes(content)
    with pytest.raises(StoreError, match=block.name):
        answers(settings, workspace, "small")
    assert contents(workspace, "small") == first
    block.unlink()
    answers(settings, workspace, "small")
    assert run_figures(workspace, "small")["cells_answered_now"] in {4 * 2, (len(TEXTS) - 4) * 2}
    again = contents(workspace, "small")
    for name in first.keys() - {"answered.parquet"}:  # whose times are new where cells were answered again
        assert again[name] == first[name]
    assert again.keys() == first.keys()


def test_the_plan_prints_and_writes_nothing(settings, workspace, capsys):
    plan_job(settings, workspace, "large")
    line = capsys.readouterr().out
    assert line.startswith("answers large: 18 cells wanted, 0 in the store, 18 to answer in 2 blocks, ")
    assert ", time about " in line
    assert not (workspace.root / "data/store").exists()
    assert not workspace.answers("large").exists()


def test_a_long_job_says_beforehand_how_long_it_takes(settings, workspace, capsys):
    write_segments(workspace, [f"text number {number}" for number in range(500)])
    answers(settings, workspace, "small")
    assert ", time about " in capsys.readouterr().out.splitlines()[0]


def test_what_is_unknown_or_wrong_is_named_and_nothing_is_written(settings, workspace):
    with pytest.raises(BadParameter, match=r"no job `other` in params.yaml, section answers.jobs; there are: small, "):
        answers(settings, workspace, "other")
    with pytest.raises(BadInput, match="no question set `nowhere`"):
        answers(settings, workspace, "lost")
    write_segments(workspace, [*TEXTS, " "])
    with pytest.raises(BadInput, match=f"text number {len(TEXTS)} is empty"):
        answers(settings, workspace, "small")
    write_segments(workspace, [*TEXTS, TEXTS[0]])
    with pytest.raises(BadInput, match="stands twice"):
        answers(settings, workspace, "small")
    shutil.rmtree(workspace.model("tiny"))
    with pytest.raises(BadInput, match=r"answers\.spec\.llm: .*qaemb_model\.json does not exist"):
        answers(settings, workspace, "small")
    assert not (workspace.root / "data/store").exists()
    assert not workspace.answers("small").exists()
