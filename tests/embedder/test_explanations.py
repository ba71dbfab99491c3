"""Explanations: what is unusual of a text, what makes two alike, and shares of a prediction that add up."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from qaemb.errors import BadInput

from .conftest import QUESTIONS, TEXTS, expected


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
    assert table.loc["food", "mass"] == 1.0
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


def test_shares_of_a_pipeline_are_in_the_features_own_units(embedder):
    X = embedder.set_output(transform="pandas").fit_transform(TEXTS)
    scaler, ridge = StandardScaler(), Ridge()
    model = make_pipeline(scaler, ridge).fit(X, [0.5, 1.5, -1.0, 0.2, 0.5])
    told = embedder.contributions("dog", model)
    np.testing.assert_allclose(told.loc[list(QUESTIONS), "weight"], ridge.coef_ / scaler.scale_)
    own = embedder.transform(["dog"])
    assert told.attrs["base"] + told["share"].sum() == pytest.approx(model.predict(own)[0])
    chosen = make_pipeline(SelectKBest(k=1), LogisticRegression()).fit(X, [1, 1, 0, 0, 1])
    told = embedder.contributions("dog", chosen)
    assert (told["weight"] != 0).sum() == 1
    assert told.attrs["base"] + told["share"].sum() == pytest.approx(chosen.decision_function(own)[0])


def test_a_model_of_other_features_is_refused_and_the_difference_named(embedder):
    X = embedder.set_output(transform="pandas").fit_transform(TEXTS)
    y = [0.5, 1.5, -1.0, 0.2, 0.5]
    other = X.rename(columns={"food": "drink", "a": "b"})
    with pytest.raises(BadInput, match="it wants `drink`, `b`, and does not know `food`, `a`"):
        embedder.contributions("dog", Ridge().fit(other, y))
    with pytest.raises(BadInput, match="it wants nothing more, and does not know `long`"):
        embedder.contributions("dog", Ridge().fit(X[["food", "a"]], y))
    with pytest.raises(BadInput, match="in another order"):
        embedder.contributions("dog", Ridge().fit(X[["a", "food", "long"]], y))
    with pytest.raises(BadInput, match="fitted on 4 features, there are 3 questions"):
        embedder.contributions("dog", Ridge().fit(np.eye(4), np.arange(4)))


def test_what_is_not_linear_is_refused(embedder):
    X, y = embedder.fit_transform(TEXTS), [0.5, 1.5, -1.0, 0.2, 0.5]
    squares = make_pipeline(PolynomialFeatures(2), Ridge()).fit(X, y)
    for model in (squares, RandomForestRegressor(n_estimators=3, random_state=0).fit(X, y)):
        with pytest.raises(BadInput, match="is not linear in the features"):
            embedder.contributions("dog", model)
    with pytest.raises(BadInput, match="neither predicts nor decides"):
        embedder.contributions("dog", object())
    with pytest.raises(BadInput, match="target is 1, the model has 1 outputs"):
        embedder.contributions("dog", Ridge().fit(X, y), target=1)
