"""`QAEmbedder`: scikit-learn's contract, answers asked once, and explanations that add up."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from qaemb import QAEmbedder
from qaemb.answers import Answers
from qaemb.errors import BadInput, BadParameter
from qaemb.questions.sets import _shipped_sets

from .conftest import QUESTIONS, TEXTS, Counting, expected


@parametrize_with_checks([QAEmbedder()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_no_attributes_set_in_init,
        checks.check_parameters_default_constructible,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_do_not_raise_errors_in_init_or_set_params,
        checks.check_estimator_cloneable,
        checks.check_estimator_repr,
        checks.check_estimator_tags_renamed,
        checks.check_get_feature_names_out_error,
        checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_those_checks_that_need_no_numbers(check):
    """Scikit-learn's suite leaves out an estimator of texts, as it does with its own vectorizers."""
    check("QAEmbedder", QAEmbedder())


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


def test_polars_output_has_the_questions_names(embedder):
    table = embedder.set_output(transform="polars").fit_transform(TEXTS)
    assert isinstance(table, pl.DataFrame)
    assert table.columns == ["food", "long", "a"]
    np.testing.assert_array_equal(table.to_numpy(), expected(TEXTS))


def test_the_mass_says_how_far_it_was_answering(tmp_path):
    class Abstaining(Counting):
        def answer(self, texts, questions, progress=None):
            mass = np.array([[0.0 if text == "dog" else 0.75 for _ in questions] for text in texts], np.float32)
            return Answers(super().answer(texts, questions).margin, mass)

    embedder = QAEmbedder(QUESTIONS, Abstaining(), cache=tmp_path).fit(TEXTS)
    np.testing.assert_array_equal(embedder.mass(["dog", "an apple"]), [[0.0] * 3, [0.75] * 3])
    assert (embedder.explain("dog")["mass"] == 0).all()


def test_it_can_be_pickled_without_the_opened_model(embedder):
    copy = pickle.loads(pickle.dumps(embedder.fit(TEXTS)))
    assert "_opened" not in vars(copy)
    np.testing.assert_array_equal(copy.transform(["new"]), embedder.transform(["new"]))


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
    with pytest.raises(BadInput, match="text number 1 is not a string but list"):
        embedder.fit(["good", ["bad"]])
    with pytest.raises(BadInput, match=r"X is a table of shape \(1, 1\); give one column"):
        embedder.fit(pd.DataFrame({"text": ["good"]}))
    with pytest.raises(BadInput, match="is listed twice"):
        clone(embedder).set_params(questions=["Is it?", "Is it?"]).fit(TEXTS)
    with pytest.raises(BadParameter, match="no question set `nowhere` in the package qaemb; there are: "):
        QAEmbedder("nowhere").fit(TEXTS)
    with pytest.raises(BadParameter, match="take margin, probability or answer"):
        clone(embedder).set_params(output="logit").fit(TEXTS)


def test_the_shipped_sets_are_those_of_the_project():
    assert {"core", "full", "quick"} <= set(_shipped_sets())
    assert len(_shipped_sets()["core"].questions) == 32


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
