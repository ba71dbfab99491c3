"""Drift on real files: references accepted, a stage that warns or stops, what is shown, and every wrong input named."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from qaemb.cli import app
from qaemb.errors import BadInput, BadMatrix, BadParameter
from qaemb.identity import text_id
from qaemb.stages.drift import ReferenceSpec, accept, show
from qaemb.stages.validate import validate

NAMES = ["food", "motion", "place"]
N = 120


@pytest.fixture
def place(workspace):
    """The project of the other tests with 120 texts, and a matrix without any drift."""
    texts = [f"Sentence number {number}." for number in range(N)]
    table = pd.DataFrame({"segment_id": [text_id(text) for text in texts], "text": texts})
    table.to_parquet(workspace.segments("cut") / "segments.parquet")
    answer(workspace)
    return workspace


def answer(place, shift: float = 0.0, key: str = "k", seed: int = 0) -> None:
    """Write the matrix of job `j`, question motion moved by `shift`."""
    ids = pd.read_parquet(place.segments("cut") / "segments.parquet")["segment_id"]
    margin = pd.DataFrame(np.random.default_rng(seed).normal(size=(N, 3)).astype(np.float32), columns=NAMES)
    margin["motion"] += np.float32(shift)
    mass = pd.DataFrame(np.full((N, 3), 0.9, dtype=np.float32), columns=NAMES)
    for name, own in (("margin", margin), ("mass", mass)):
        own.insert(0, "segment_id", ids)
        own.to_parquet(place.answers("j") / f"{name}.parquet", index=False)
    (place.answers("j") / "spec.json").write_text(json.dumps({"key": key}))


@pytest.fixture
def accepted(place, settings_of):
    validate(settings_of(), place, "j")
    accept(settings_of(), place, "j", ReferenceSpec("r"))
    return place


@pytest.fixture
def with_reference(settings_of):
    """Return a function that makes settings in which job `j` is compared with reference `r`."""
    return lambda **limits: settings_of(drift={"j": {"reference": "r", **limits}})


def _verdict(folder) -> dict:
    return json.loads((folder / "validation.json").read_text())


def test_accepting_keeps_what_is_compared_later(place, settings_of, capsys):
    validate(settings_of(), place, "j")
    accept(settings_of(), place, "j", ReferenceSpec("r", n_texts=50))
    folder = place.references / "r"
    assert {path.name for path in folder.iterdir()} == {
        "reference.json",
        "summary.parquet",
        "margin.parquet",
        "mass.parquet",
        "texts.parquet",
    }
    head = json.loads((folder / "reference.json").read_text())
    assert (head["job"], head["answerer"], head["key"], head["question_set"]) == ("j", "a", "k", "core")
    assert (head["n_segments"], head["n_sampled"]) == (N, 50)
    said = capsys.readouterr().out
    assert "50 of 120 texts x 3 questions" in said
    assert "once params.yaml has validate.drift.j.reference: r" in said
    accept(settings_of(), place, "j", ReferenceSpec("r", words=False))
    assert not (folder / "texts.parquet").exists()


def test_answers_like_the_reference_are_approved_and_it_is_said(accepted, with_reference, capsys):
    validate(with_reference(), accepted, "j")
    verdict = _verdict(accepted.validation("j"))
    assert verdict["success"] is True
    assert verdict["drift"]["found"] is False
    assert verdict["drift"]["reference"] == "r"
    assert len(verdict["expectations"]) == 16 + 7
    metrics = json.loads(accepted.metrics("validate", "j").read_text())
    assert (metrics["drift_n_moved"], metrics["drift_largest_ks"]) == (0, 0.0)
    docs = accepted.reports / "data_docs" / "j"
    assert "the yes rate moved by at most 0.1" in (docs / "expectations" / "drift_questions.html").read_text()
    assert (docs / "expectations" / "drift_pairs.html").exists()
    assert "j against reference r: none of 3 questions moved" in capsys.readouterr().out


def test_drift_warns_and_the_report_names_the_question_and_its_texts(accepted, with_reference, capsys):
    answer(accepted, shift=2.0, key="other")
    validate(with_reference(), accepted, "j")
    verdict = _verdict(accepted.validation("j"))
    assert verdict["success"] is True
    assert verdict["drift"] | {"found": True, "n_moved": 1, "moved": ["motion"]} == verdict["drift"]
    failed = [item for item in verdict["expectations"] if not item["success"]]
    assert {item["column"] for item in failed} == {"sure_rate_change", "sure_ks", "sure_flipped"}
    assert all(list(item["failing"]) == ["motion"] for item in failed)
    assert "1 of 3 questions moved (motion)" in capsys.readouterr().out
    docs = accepted.reports / "data_docs" / "j"
    page = (docs / "drift.html").read_text()
    assert "Another answerer: a (key k, accepted on" in page
    assert "more yes: " in page
    assert "Does the text mention motion?" in page
    assert "<td>Sentence number " in page
    assert "http" not in page
    questions = pd.read_csv(docs / "drift_questions.csv").set_index("name")
    assert questions["moved"].to_dict() == {"food": False, "motion": True, "place": False}
    texts = pd.read_csv(docs / "drift_texts.csv")
    assert texts["name"].tolist() == ["motion"] * 6


def test_drift_stops_what_follows_until_it_is_accepted(accepted, with_reference, settings_of):
    answer(accepted, shift=2.0)
    settings = with_reference(on_drift="fail")
    with pytest.raises(BadMatrix, match=r"(?s)`j` drifted.*1 of 3 questions moved \(motion\).*drift accept j --as r"):
        validate(settings, accepted, "j")
    docs = accepted.reports / "data_docs" / "j"
    assert not accepted.validation("j").exists()
    assert _verdict(docs)["success"] is False
    assert (docs / "drift.html").exists()
    assert json.loads(accepted.metrics("validate", "j").read_text())["drift_n_moved"] == 1
    accept(settings, accepted, "j", ReferenceSpec("r"))
    validate(settings, accepted, "j")
    assert _verdict(accepted.validation("j"))["success"] is True


def test_limits_come_from_the_job_over_its_set_over_the_default(accepted, settings_of):
    drift = {
        "default": {"max_ks": 1.0, "on_drift": "fail", "max_flipped": 1.0},
        "core": {"reference": "r", "max_rate_change": 1.0, "on_drift": "warn"},
        "j": {"max_ks": 0.5},
    }
    settings = settings_of(drift=drift)
    found = settings.validate_.drift_of("j", settings.answers.jobs["j"])
    assert (found.reference, found.max_ks, found.max_rate_change, found.max_flipped) == ("r", 0.5, 1.0, 1.0)
    assert (found.on_drift, found.max_mass_change) == ("warn", 0.1)
    answer(accepted, shift=2.0)
    validate(settings, accepted, "j")
    assert _verdict(accepted.validation("j"))["drift"]["moved"] == ["motion"]
    off = settings_of(drift=drift | {"j": {"reference": None}})
    validate(off, accepted, "j")
    assert "drift" not in _verdict(accepted.validation("j"))


def test_a_question_that_became_constant_and_a_pair_that_became_the_same_fail_their_rules(accepted, with_reference):
    margin = pd.read_parquet(accepted.answers("j") / "margin.parquet")
    margin["motion"] = margin["motion"].abs()
    margin["place"] = margin["food"] * 2
    margin.to_parquet(accepted.answers("j") / "margin.parquet", index=False)
    loose = {"max_ks": 1, "max_rate_change": 1, "max_flipped": 1, "max_reordered": 2}
    validate(with_reference(**loose), accepted, "j")
    verdict = _verdict(accepted.validation("j"))
    failed = [(item["table"], item["says"]) for item in verdict["expectations"] if not item["success"]]
    assert failed == [
        ("drift_questions", "at most 0 questions get one answer only, and got both"),
        ("drift_pairs", "at most 0 pairs of questions became the same"),
    ]
    validate(with_reference(**loose, max_new_constant=1, max_new_redundant=1), accepted, "j")
    assert _verdict(accepted.validation("j"))["drift"]["found"] is False


def test_a_bad_matrix_is_refused_as_ever_and_not_compared(accepted, with_reference):
    margin = pd.read_parquet(accepted.answers("j") / "margin.parquet")
    margin.loc[3, "motion"] = np.nan
    margin.to_parquet(accepted.answers("j") / "margin.parquet", index=False)
    with pytest.raises(BadMatrix, match="no margin is missing.*`motion` has n_missing = 1"):
        validate(with_reference(), accepted, "j")
    assert "drift" not in _verdict(accepted.reports / "data_docs" / "j")
    with pytest.raises(BadMatrix, match="lacks cells.*qaemb validate --job j"):
        show(with_reference(), accepted, "j", "r")


def test_only_a_matrix_that_passed_can_be_accepted(place, settings_of):
    with pytest.raises(BadMatrix, match="has not seen this matrix of `j`.*run `qaemb validate --job j`"):
        accept(settings_of(), place, "j", ReferenceSpec("r"))
    validate(settings_of(), place, "j")
    answer(place, shift=1.0)
    with pytest.raises(BadMatrix, match="has not seen this matrix"):
        accept(settings_of(), place, "j", ReferenceSpec("r"))
    strict = settings_of(min_mean_mass=0.95)
    with pytest.raises(BadMatrix):
        validate(strict, place, "j")
    with pytest.raises(BadMatrix, match=r"failed validation .*the mean mass is at least 0\.95"):
        accept(strict, place, "j", ReferenceSpec("r"))
    assert not place.references.exists()


def test_wrong_names_are_refused(accepted, settings_of, with_reference):
    with pytest.raises(BadParameter, match=r"no answers job `k` in params.yaml: answers.jobs; there are: j"):
        accept(settings_of(), accepted, "k", ReferenceSpec("r"))
    with pytest.raises(BadParameter, match="no answers job `k`"):
        show(settings_of(), accepted, "k", "r")
    with pytest.raises(BadInput, match=r"`\.\./r` can't name a folder"):
        accept(settings_of(), accepted, "j", ReferenceSpec("../r"))
    with pytest.raises(BadInput, match=r"no reference `s` in .*\(there are: r\)"):
        validate(settings_of(drift={"j": {"reference": "s"}}), accepted, "j")
    with pytest.raises(
        ValueError, match=r"validate\.drift\.full: `full` is no job of answers\.jobs and no question set"
    ):
        settings_of(drift={"full": {"reference": "r"}})


def test_a_reference_of_another_job_is_replaced_only_on_demand(accepted, settings_of):
    head = accepted.references / "r" / "reference.json"
    head.write_text(head.read_text().replace('"job": "j"', '"job": "other"'))
    with pytest.raises(BadInput, match="is a reference of job `other`; accept with --replace"):
        accept(settings_of(), accepted, "j", ReferenceSpec("r"))
    accept(settings_of(), accepted, "j", ReferenceSpec("r"), replace=True)
    assert json.loads(head.read_text())["job"] == "j"


def test_show_prints_what_moved_and_needs_no_validation(accepted, settings_of, capsys):
    answer(accepted, shift=2.0)
    show(settings_of(), accepted, "j", "r")
    said = capsys.readouterr().out
    assert "j against reference r: 1 of 3 questions moved (motion)" in said
    assert "motion: more yes: " in said
    assert "changed  P(yes) 0." in said
    assert (accepted.reports / "drift" / "j_vs_r" / "drift.html").exists()
    assert "drift" not in _verdict(accepted.validation("j")), "the approval is as it was"


def test_the_commands_take_their_options(accepted, settings_of, monkeypatch):
    params = settings_of().model_dump(mode="json", by_alias=True, exclude_unset=True)
    (accepted.root / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(accepted.root)
    done = CliRunner().invoke(app, ["drift", "accept", "j", "--as", "small", "--texts", "30", "--no-words"])
    assert (done.exit_code, "30 of 120 texts" in done.output) == (0, True)
    assert not (accepted.references / "small" / "texts.parquet").exists()
    shown = CliRunner().invoke(app, ["drift", "show", "j", "--against", "small"])
    assert (shown.exit_code, "none of 3 questions moved" in shown.output) == (0, True)
