"""The command `cascade` and what a cascade is called afterwards: in the job, the report, the feature store."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.distill.cascade import CalibrationCells, calibrate, texts_needed
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json, write_table
from qaemb.identity import text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswererSettings, AnswersJob, AnswersSettings, SegmentationSettings, Settings
from qaemb.stages.answers import answerers, answers, plan_job
from qaemb.stages.cascade import CascadeRequest, cascade
from qaemb.stages.evaluate import Evaluation, evaluate
from qaemb.stages.prompts import Sample, show_prompt
from qaemb.workspace import Workspace

from .conftest import QUESTIONS, spec_for

BANK = [Question(name, text) for name, text in zip(("food", "animal", "motion"), QUESTIONS, strict=True)]
TRAIN = [
    f"{who} {what} {where}"
    for who in ("I", "my brother", "the old dog", "nobody")
    for what in ("ate an apple", "walked", "sat down")
    for where in ("in the kitchen", "outside", "at night", "")
]
TEST = ["the lamp fell", "we ran"]
BOTH = ["I walked outside"]  # heard in a test story, too: not to be drawn
ASKED = CascadeRequest("fast", "tr", "three", 40, agreement=0.6)


@pytest.fixture
def workspace(tmp_path, tiny_llm, tiny_encoder) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    shutil.copytree(tiny_llm, workspace.model("tiny"))
    shutil.copytree(tiny_encoder, workspace.model("tiny_encoder"))
    texts = [*TRAIN, *TEST]
    ids = [text_id(text) for text in texts]
    write_table(workspace.segments("tr") / "segments.parquet", pd.DataFrame({"segment_id": ids, "text": texts}))
    heard = [("a", TRAIN), ("b", [*TEST, *BOTH])]
    occurrences = pd.DataFrame(
        [(story, text_id(text)) for story, own in heard for text in own], columns=["story", "segment_id"]
    )
    write_table(workspace.segments("tr") / "occurrences.parquet", occurrences)
    write_table(workspace.dataset / "stories.parquet", pd.DataFrame({"story": ["a", "b"], "split": ["train", "test"]}))
    write_tables(workspace.questions, BANK, [QuestionSet("three", tuple(BANK)), QuestionSet("one", (BANK[0],))], [])
    return workspace


@pytest.fixture
def settings() -> Settings:
    members = {"student": "small", "teacher": "llm", "thresholds": "data/cascades/fast.json"}
    spec = {
        "llm": spec_for("shared"),
        "small": spec_for("student", model="tiny_encoder"),
        "twin": spec_for("reference"),
        "fast": AnswererSettings.model_validate({"engine": "cascade", "cascade": members}),
        "same": AnswererSettings.model_validate({"engine": "cascade", "cascade": members | {"student": "twin"}}),
    }
    jobs = {name: AnswersJob(answerer=name, segmentation="tr", set="three") for name in ("fast", "llm")}
    segments = {"tr": SegmentationSettings(kind="tr"), "empty": SegmentationSettings(kind="sentence")}
    return Settings.model_construct(answers=AnswersSettings(spec=spec, jobs=jobs, block_texts=16), segments=segments)


def file_of(workspace: Workspace) -> dict:
    return read_json(workspace.root / "data/cascades/fast.json")


def n_stored(workspace: Workspace) -> int:
    return len(list((workspace.root / "data/store").rglob("*.parquet")))


def margins(workspace: Workspace, job: str) -> np.ndarray:
    return pd.read_parquet(workspace.answers(job) / "margin.parquet").drop(columns="segment_id").to_numpy()


def test_thresholds_are_made_from_train_texts_alone_and_kept(settings, workspace, capsys):
    cascade(settings, workspace, ASKED)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "cascade fast: 40 texts of tr and 3 questions, answered by both"
    assert out[1].startswith("cascade fast, small: 120 cells wanted, 0 in the store, 120 to answer")
    assert out[2].startswith("cascade fast, llm: 120 cells wanted, 0 in the store, 120 to answer")
    assert out[3].startswith("cascade fast: 120 cells of 40 texts; `small` alone answers ")
    assert out[4].startswith("cascade fast: agreement over all cells at least 0.6 with confidence 0.95 (lower bound ")
    assert out[-1].startswith("cascade fast: thresholds are in ")
    found = file_of(workspace)
    assert (found["cascade"], found["approximates"]) == ("fast", "llm")
    assert found["sample"] == {"segmentation": "tr", "set": "three", "seed": 0}
    assert set(found["bands"]) == {question.question_id for question in BANK}
    tables = [pd.read_parquet(path) for path in (workspace.root / "data/store").rglob("*.parquet")]
    drawn = set(pd.concat(tables)["segment_id"])
    assert len(drawn) == 40
    assert drawn <= {text_id(text) for text in TRAIN} - {text_id(text) for text in BOTH}


def test_the_thresholds_are_those_of_the_cells_that_both_answered(settings, workspace):
    cascade(settings, workspace, ASKED)
    by_key = {}
    for path in (workspace.root / "data/store").rglob("*.parquet"):
        by_key.setdefault(path.parent.name, []).append(pd.read_parquet(path).set_index("segment_id"))
    found = file_of(workspace)
    student, teacher = (pd.concat(by_key[found[role]]) for role in ("student", "teacher"))
    columns = [f"margin:{question.question_id}" for question in BANK]
    cells = CalibrationCells(
        student[columns].to_numpy().ravel(),
        teacher.loc[student.index, columns].to_numpy().ravel(),
        np.tile([question.question_id for question in BANK], 40),
        np.repeat(student.index.to_numpy(str), 3),
    )
    expected = calibrate(cells, 0.6)
    evidence = found["evidence"]
    assert evidence["n_cells"] == 120
    assert evidence["share_saved"] == pytest.approx(expected.evidence.share_saved, abs=1e-9)
    assert evidence["bound"] == pytest.approx(expected.evidence.bound, abs=1e-9)


def test_nothing_is_bought_twice_and_a_larger_sample_holds_the_smaller(settings, workspace, capsys):
    cascade(settings, workspace, ASKED)
    first, before = file_of(workspace), n_stored(workspace)
    cascade(settings, workspace, ASKED)
    assert file_of(workspace) == first
    assert n_stored(workspace) == before
    capsys.readouterr()
    cascade(settings, workspace, replace(ASKED, n_texts=45))
    assert "cascade fast, llm: 135 cells wanted, 120 in the store, 15 to answer" in capsys.readouterr().out
    cascade(settings, workspace, replace(ASKED, seed=1))
    assert "40 texts of tr" in capsys.readouterr().out
    assert file_of(workspace)["sample"]["seed"] == 1


def test_a_job_of_a_cascade_says_whom_it_approximates_and_what_it_saves(settings, workspace, capsys):
    cascade(settings, workspace, ASKED)
    answerers(settings, workspace)
    plan_job(settings, workspace, "fast")
    planned = capsys.readouterr().out
    answers(settings, workspace, "fast")
    out = capsys.readouterr().out.splitlines()
    about = read_json(workspace.answers("fast") / "spec.json")
    says = about["approximates"]
    n_cells = 3 * (len(TRAIN) + len(TEST))
    assert (says["answerer"], says["agreement"], says["confidence"]) == ("llm", 0.6, 0.95)
    assert 0 < says["calls_saved"] < n_cells
    saved = f"{says['calls_saved']} of {n_cells} calls saved ({100 * says['calls_saved'] / n_cells:.1f} %)"
    promise = "approximates `llm`: at least 0.6 of the cells are answered yes or no as it would, with confidence 0.95"
    assert says["claim"] == f"{promise}; {saved}"
    assert f"answers fast: {says['claim']}" in planned
    assert f"answers fast: {says['claim']}" == out[-1] == out[0]
    assert out[-2].startswith(f"answers fast: {n_cells} cells, ")
    assert "asked of `llm` now" in out[-2]
    figures = read_json(workspace.metrics("answers", "fast"))
    assert figures["calls_saved"] == says["calls_saved"]
    assert figures["approximates.llm.agreement"] == 0.6
    assert about["members"] == ["small", "llm"]
    assert len(about["model"]) == len(about["model_digest"]) == 2
    assert read_json(workspace.answerers / "fast.json")["key"] == about["key"]
    assert read_json(workspace.answerers / "fast.json")["spec"]["approximates"] == says["key"]


def test_after_its_members_a_cascade_answers_nothing_and_agrees_as_it_says(settings, workspace):
    cascade(settings, workspace, ASKED)
    answers(settings, workspace, "llm")
    plan_job(settings, workspace, "fast")
    for model in ("tiny", "tiny_encoder"):  # weights are not needed any more
        (workspace.model(model) / "model.safetensors").unlink()
    answers(settings, workspace, "fast")
    run = read_json(workspace.run_figures("answers", "fast"))
    assert run["cells_answered_now"] == run["tokens"] == 0
    figures = read_json(workspace.metrics("answers", "fast"))
    own, teacher = margins(workspace, "fast"), margins(workspace, "llm")
    assert (own == teacher).sum() == own.size - figures["calls_saved"]
    assert ((own > 0) == (teacher > 0)).mean() >= 0.6


def test_evaluation_and_prompts_know_a_cascade(settings, workspace, tmp_path):
    cascade(settings, workspace, ASKED)
    gold = tmp_path / "boolq.jsonl"
    rows = [{"question": q, "passage": t, "answer": n % 2 == 0} for n, t in enumerate(TEST) for q in QUESTIONS]
    gold.write_text("\n".join(json.dumps(row) for row in rows))
    evaluate(settings.model_copy(update={"validate_": _Low()}), workspace, Evaluation(("fast",), str(gold)))
    summary = read_json(workspace.reports / "evaluation" / "boolq" / "summary.json")
    assert summary["answerers"]["fast"]["approximates"].startswith("approximates `llm`: at least 0.6")
    with pytest.raises(BadParameter, match="can't be put to the cascade `fast`; name a member: small, llm"):
        evaluate(settings, workspace, Evaluation(("fast",), str(gold), prompts=("text_first",)))
    with pytest.raises(BadParameter, match="`fast` is a cascade, each member .*; name a member: small, llm"):
        show_prompt(settings, workspace, "text_first", "fast", Sample("A dog.", "Why?", 1, 1))


class _Low:
    low_mass = 0.1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "llm"}, BadParameter, r"answers\.spec\.llm is no cascade but engine `shared`; there are: fast, same"),
        ({"name": "z"}, BadParameter, "no answerer `z`"),
        ({"name": "same"}, BadParameter, "student `twin` and teacher `llm` have one key"),
        ({"segmentation": "z"}, BadParameter, "no segmentation `z` in params.yaml"),
        ({"segmentation": "empty"}, BadInput, "does not exist; run `dvc repro`"),
        ({"question_set": "z"}, BadInput, "no question set `z`"),
        ({"n_texts": 48}, BadInput, "tr has only 47 texts that occur in train stories alone"),
        ({"agreement": 0.95}, BadInput, f"--texts 40: so few .* at least --texts {texts_needed(0.95, 0.95)}"),
        ({"agreement": 1.0}, BadParameter, "agreement of a cascade must be at least 0.5 and below 1, not 1.0"),
        ({"confidence": 0.1}, BadParameter, "confidence of a cascade must be at least 0.5"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_answered(settings, workspace, change, error, message):
    with pytest.raises(error, match=message):
        cascade(settings, workspace, replace(ASKED, **change))
    assert not (workspace.root / "data").joinpath("store").exists()
    assert not (workspace.root / "data/cascades").exists()


def test_a_job_without_thresholds_says_how_to_make_them(settings, workspace):
    for stage in (lambda: answerers(settings, workspace), lambda: answers(settings, workspace, "fast")):
        with pytest.raises(
            BadInput, match=r"fast\.json, the thresholds of cascade `fast`, does not exist; make it with"
        ):
            stage()
