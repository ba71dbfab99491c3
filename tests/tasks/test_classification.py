"""Classification on planted answers: the deciding questions are found, and the tables add up to what the model says."""

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.tasks import evaluate_task
from qaemb.tasks.classification import INTERCEPT, _class_scores, _contribution_table, _fit
from qaemb.tasks.labelled import Labelled, folds
from qaemb.tasks.representations import some_answers
from tests.tasks.planted import DECIDING, features, planted, settings

SECTION = {"sizes": [1, 2, 5], "compared": 2, "n_folds": 3, "n_repeats": 2, "n_random": 1, "n_explained": 3}


@pytest.fixture(scope="module")
def result():
    labelled, own = planted(180)
    return evaluate_task(labelled, own, settings("classification", classification=SECTION))


def test_the_two_deciding_questions_are_enough(result):
    accuracy = {method.name: method.metrics["accuracy"] for method in result.methods}
    assert list(accuracy) == [
        *(f"answers_{n}" for n in (1, 2, 5, "all")),
        *(f"random_{n}" for n in (1, 2, 5)),
        *("tfidf", "embedding", "majority"),
    ]
    assert accuracy["answers_2"] > 0.97
    assert accuracy["answers_1"] == pytest.approx(0.5, abs=0.1)
    for chance in ("tfidf", "embedding", "majority"):
        assert accuracy[chance] < 0.4


def test_the_comparison_is_the_difference_of_the_scores(result):
    accuracy = {method.name: method.metrics["accuracy"] for method in result.methods}
    for baseline in ("embedding", "tfidf", "random_2", "answers_all"):
        difference = accuracy["answers_2"] - accuracy[baseline]
        assert result.metrics[f"answers_2_minus_{baseline}"] == pytest.approx(difference)
    assert result.metrics["answers_2_minus_embedding_p"] < 0.02
    assert result.metrics["n_tested"] == 180


def test_the_curve_has_a_row_for_every_method(result):
    curve = result.tables["curve"]
    answers = curve[curve["method"] == "answers"]
    assert answers["n_questions"].tolist() == [1, 2, 5, 20]
    assert answers["accuracy"].tolist() == [method.metrics["accuracy"] for method in result.methods[:4]]


def test_the_questions_come_with_weights_that_say_which_answer_speaks_for_what(result):
    table = result.tables["questions"].set_index("name")
    assert set(table.index) == {f"q{column}" for column in DECIDING}
    assert (table["share_of_splits"] == 1.0).all()
    first = table.loc[f"q{DECIDING[0]}"]
    assert first["weight_yes-no"] > 0 > first["weight_no-yes"]
    assert first["question"] == f"Does the text have property {DECIDING[0]}?"


def test_contributions_are_of_test_texts(result):
    table = result.tables["contributions"]
    assert table["row"].nunique() == 3
    assert table.groupby("row").size().tolist() == [3, 3, 3]
    assert (table["label"] == table["predicted"]).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_contributions_add_up_to_the_log_odds(n_classes):
    labelled, own = planted(90)
    codes = np.minimum(labelled.codes, n_classes - 1)
    labels = Labelled(labelled.texts, ["xyz"[code] for code in codes])
    columns = [0, *DECIDING]
    rows = np.arange(60)
    fitted = _fit(some_answers(own, columns), codes, rows, folds(labels, rows, 3, seed=0))
    table = _contribution_table(labels, own, fitted, columns, np.arange(60, 70))
    for row, part in table.groupby("row"):
        probability = fitted.model.predict_proba(fitted.matrix[[row]])[0]
        second, first = np.argsort(probability)[-2:]
        assert part["contribution"].sum() == pytest.approx(np.log(probability[first] / probability[second]))
        assert (part["predicted"] == labels.classes[first]).all()
        assert (part["instead_of"] == labels.classes[second]).all()
        answers = part[part["question"] != INTERCEPT].set_index("question")["answer"]
        expected = 1 / (1 + np.exp(-own.margin[row, 3]))
        assert answers["Does the text have property 3?"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_class_scores_give_the_models_probabilities(n_classes):
    labelled, own = planted(90)
    codes = np.minimum(labelled.codes, n_classes - 1)
    fitted = _fit(some_answers(own, range(5)), codes, np.arange(90), [(np.arange(60), np.arange(60, 90))])
    weights, intercepts = _class_scores(fitted)
    scores = np.exp(fitted.matrix @ weights.T + intercepts)
    np.testing.assert_allclose(scores / scores.sum(1, keepdims=True), fitted.model.predict_proba(fitted.matrix))


def test_a_given_split_is_tested_once():
    labelled, own = planted()
    split = Labelled(labelled.texts, labelled.label, ["train"] * 160 + ["test"] * 80)
    result = evaluate_task(split, own, settings("classification", classification=SECTION))
    assert result.metrics["n_tested"] == 80
    assert result.tables["contributions"]["row"].min() >= 160


def test_the_same_seed_gives_the_same_scores():
    labelled, own = planted(60)
    few = SECTION | {"n_repeats": 1, "sizes": [2]}
    first, second = (
        evaluate_task(labelled, own, settings("classification", classification=few, seed=3)) for _ in range(2)
    )
    assert first.metrics == second.metrics
    assert [method.metrics for method in first.methods] == [method.metrics for method in second.methods]


def test_more_questions_than_there_are_is_an_error():
    labelled, own = planted(60)
    with pytest.raises(BadInput, match="classification.sizes asks for 50 questions"):
        evaluate_task(labelled, own, settings("classification"))


def test_labels_without_texts_enough_for_the_folds_are_named():
    labels = ["x"] * 20 + ["y"] * 2
    texts = [f"t{i}" for i in range(22)]
    own = features(texts, np.random.default_rng(0).standard_normal((22, 20)))
    with pytest.raises(BadInput, match=r"label `y` has 2 text\(s\)"):
        evaluate_task(Labelled(texts, labels), own, settings("classification", classification=SECTION))
