"""`QAEmbedder`: scikit-learn's contract, answers asked once, and explanations that add up."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from qaemb import QAEmbedder
from qaemb.answers import Answers, Cost
from qaemb.errors import BadInput, BadParameter
from qaemb.identity import json_id
from qaemb.questions.shipped_sets import shipped_sets

QUESTIONS = {"food": "Is there food?", "long": "Is the text long?", "a": "Does it have an a?"}
TEXTS = ["an apple", "bread and butter and jam", "dog", "the longest of all the texts that are here", "an apple"]


class Counting:
    """An answerer whose margin of a text and question is known, and that counts the cells it is asked."""

    engine_name = "counting"

    def __init__(self, shift: float = 0.0) -> None:
        self.shift, self.cells = shift, 0

    @property
    def spec(self):
        return {"engine": self.engine_name, "shift": self.shift}

    @property
    def key(self):
        return json_id(self.spec)

    @property
    def figures(self):
        return {}

    def cost(self, texts, questions):
        return Cost(len(texts), 0)

    def answer(self, texts, questions, progress=None):
        self.cells += len(texts) * len(questions)
        margin = np.array([[margin_of(text, question) for question in questions] for text in texts], np.float32)
        return Answers(margin + np.float32(self.shift), np.ones_like(margin))


def margin_of(text: str, question: str) -> float:
    return {"Is there food?": 1.5 if "a" in text else -2.0, "Is the text long?": len(text) / 10 - 1.0}.get(
        question, text.count("a") - 0.5
    )


@pytest.fixture
def answerer() -> Counting:
    return Counting()


@pytest.fixture
def embedder(answerer, tmp_path) -> QAEmbedder:
    return QAEmbedder(QUESTIONS, answerer, cache=tmp_path)


def expected(texts) -> np.ndarray:
    return np.array([[margin_of(text, question) for question in QUESTIONS.values()] for text in texts], np.float32)


@parametrize_with_checks([QAEmbedder()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_features_are_the_answers(embedder):
    np.testing.assert_array_equal(embedder.fit_transform(TEXTS), expected(TEXTS))
    assert embedder.get_feature_names_out().tolist() == ["food", "long", "a"]


def test_other_outputs(embedder):
    margin = expected(TEXTS)
    probability = embedder.set_params(output="probability").fit_transform(TEXTS)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-margin)), rtol=1e-6)
    np.testing.assert_array_equal(embedder.set_params(output="answer").fit_transform(TEXTS), margin > 0)


def test_pandas_output_has_the_questions_names(embedder):
    table = embedder.set_output(transform="pandas").fit_transform(TEXTS)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["food", "long", "a"]


def test_no_text_is_asked_twice(embedder, answerer):
    embedder.fit_transform(TEXTS)
    assert answerer.cells == 4 * 3  # one of the texts stands twice
    embedder.transform([*TEXTS, "new"])
    assert answerer.cells == 5 * 3
    clone(embedder).set_params(questions={**QUESTIONS, "more": "Is it more?"}).fit(TEXTS)
    assert answerer.cells == 5 * 3 + 4


def test_a_clone_shares_the_answerer_and_keeps_the_output(embedder, answerer):
    other = clone(embedder.set_output(transform="pandas"))
    assert other.answerer is answerer
    assert other.get_params() == embedder.get_params()
    assert isinstance(other.fit_transform(TEXTS), pd.DataFrame)


def test_it_works_in_a_pipeline(embedder):
    model = make_pipeline(embedder, LogisticRegression())
    model.fit(TEXTS, [1, 1, 0, 0, 1])
    assert model.predict(["an apple"]).tolist() == [1]


def test_explain_one_text_is_its_distance_from_the_corpus(embedder):
    embedder.fit(TEXTS)
    margin = expected(TEXTS).astype(np.float64)
    z = (expected(["dog"])[0] - margin.mean(axis=0)) / margin.std(axis=0)
    table = embedder.explain("dog")
    assert set(table.index) == set(QUESTIONS)
    assert table["unusual"].abs().is_monotonic_decreasing
    for number, name in enumerate(QUESTIONS):
        assert table.loc[name, "unusual"] == pytest.approx(z[number])
        assert table.loc[name, "question"] == QUESTIONS[name]
    assert table.loc["food", "answer"] == "no"
    assert table.loc["food", "probability"] == pytest.approx(1 / (1 + np.exp(2.0)))


def test_explain_two_texts(embedder):
    embedder.fit(TEXTS)
    one, other, both = embedder.explain("dog"), embedder.explain("an apple"), embedder.explain("dog", "an apple")
    for name in QUESTIONS:
        assert both.loc[name, "difference"] == pytest.approx(one.loc[name, "unusual"] - other.loc[name, "unusual"])
        assert both.loc[name, "alike"] == pytest.approx(one.loc[name, "unusual"] * other.loc[name, "unusual"])
    assert both["difference"].abs().is_monotonic_decreasing


@pytest.mark.parametrize("output", ["margin", "probability", "answer"])
def test_shares_add_up_to_the_prediction(embedder, output):
    embedder.set_params(output=output)
    X = embedder.fit_transform(TEXTS)
    regression = Ridge().fit(X, [0.5, 1.5, -1.0, 0.2, 0.5])
    two = LogisticRegression().fit(X, [1, 1, 0, 0, 1])
    three = LogisticRegression().fit(X, [0, 1, 2, 2, 0])
    for text in ("dog", "a banana"):
        own = embedder.transform([text])
        told = embedder.contributions(text, regression)
        assert told.attrs["base"] + told["share"].sum() == pytest.approx(regression.predict(own)[0])
        told = embedder.contributions(text, two)
        assert told.attrs["base"] + told["share"].sum() == pytest.approx(two.decision_function(own)[0])
        told = embedder.contributions(text, three, target=2)
        assert told.attrs["base"] + told["share"].sum() == pytest.approx(three.decision_function(own)[0, 2])
        assert told["share"].abs().is_monotonic_decreasing


def test_saved_and_loaded_it_is_the_same(embedder, answerer, tmp_path):
    embedder.set_params(output="probability").fit(TEXTS)
    embedder.save(tmp_path / "saved")
    loaded = QAEmbedder.load(tmp_path / "saved", answerer, cache=tmp_path)
    np.testing.assert_array_equal(loaded.transform(["new"]), embedder.transform(["new"]))
    pd.testing.assert_frame_equal(loaded.explain("dog"), embedder.explain("dog"))
    np.testing.assert_array_equal(loaded.fit(TEXTS).transform(["new"]), embedder.transform(["new"]))
    with pytest.raises(BadInput, match="give it as `answerer`"):
        QAEmbedder.load(tmp_path / "saved")
    with pytest.raises(BadInput, match="give the same one, or fit again"):
        QAEmbedder.load(tmp_path / "saved", Counting(shift=1.0))


def test_what_is_wrong_is_said(embedder, tmp_path):
    with pytest.raises(NotFittedError):
        embedder.transform(TEXTS)
    with pytest.raises(BadInput, match="X is one text; give a list"):
        embedder.fit("one text")
    with pytest.raises(BadInput, match="text number 1 is empty"):
        embedder.fit(["good", " "])
    with pytest.raises(BadInput, match="is listed twice"):
        clone(embedder).set_params(questions=["Is it?", "Is it?"]).fit(TEXTS)
    with pytest.raises(BadParameter, match="no question set `nowhere` comes with qaemb; there are: "):
        QAEmbedder("nowhere").fit(TEXTS)
    with pytest.raises(BadParameter, match="take margin, probability or answer"):
        clone(embedder).set_params(output="logit").fit(TEXTS)
    embedder.fit(TEXTS)
    with pytest.raises(BadInput, match="has no `coef_`"):
        embedder.contributions("dog", object())
    with pytest.raises(BadInput, match="there are 3 questions"):
        embedder.contributions("dog", Ridge().fit(np.eye(4), np.arange(4)))


def test_the_shipped_sets_are_those_of_the_project():
    assert {"core", "full", "quick"} <= set(shipped_sets())
    assert len(shipped_sets()["core"].questions) == 32


def test_the_default_answers_on_any_machine_and_says_so(tmp_path):
    code = (
        "from qaemb import QAEmbedder\n"
        "X = QAEmbedder('quick').set_output(transform='pandas').fit_transform("
        "['She cooked soup and rice for dinner.', 'He counted the stars.'])\n"
        "print(X.shape, list(X.columns)[:2], bool((X.iloc[0] != X.iloc[1]).all()))\n"
        "import sys; print(sorted({'mlflow', 'feast', 'dvc', 'great_expectations'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("(2, 8) [")
    assert done.stdout.splitlines()[0].endswith("True")
    assert done.stdout.splitlines()[1] == "[]"
    assert "answering with the student `stories_minilm`, which runs on any machine" in done.stderr
