"""Representations learn from training rows alone, and the fit is scikit-learn's with the same penalties."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, MultiTaskElasticNet
from sklearn.model_selection import GridSearchCV

from qaemb.errors import BadInput
from qaemb.tasks.classification import PENALTIES, _fit
from qaemb.tasks.labelled import folds
from qaemb.tasks.representations import ChosenAnswers, _standardised, answered, embedded, some_answers, tfidf
from tests.tasks.planted import DECIDING, features, planted

TRAIN, TEST = np.arange(180), np.arange(180, 240)


def test_answers_are_standardised_by_the_training_rows_and_count_by_their_mass():
    margin = np.array([[1.0, 5.0, 2.0], [3.0, 5.0, 4.0], [9.0, 7.0, 6.0]])
    mass = np.array([[1.0, 1.0, 0.0], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0]])
    own = _standardised(features(["a", "b", "c"], margin, mass), np.array([0, 1]))
    # Means 2, 5, 3 and deviations 1, 0, 1 of the first two rows: a constant question and one without mass say nothing.
    np.testing.assert_allclose(own, [[-1.0, 0.0, 0.0], [0.5, 0.0, 0.0], [7.0, 0.0, 0.0]])


def test_two_questions_that_decide_the_label_are_found():
    labelled, own = planted()
    found = ChosenAnswers(own, labelled.codes, [1, 2, 5]).sets(TRAIN)
    assert [len(columns) for columns in found] == [1, 2, 5]
    assert tuple(found[1]) == DECIDING
    assert found[0][0] in DECIDING


def test_what_is_chosen_is_scikit_learns_elastic_net_on_weighed_indicators():
    labelled, own = planted(120)
    codes = np.minimum(labelled.codes, 2)  # three classes of different sizes
    rows = np.arange(120)
    chosen = ChosenAnswers(own, codes, [5])
    found = chosen.sets(rows)[0]
    x = own.margin.astype(float)
    x = (x - x.mean(0)) / x.std(0)
    share = np.bincount(codes) / 120
    y = (np.eye(3)[codes] - share) / np.sqrt(share)
    sizes = {}
    for alpha in np.geomspace(0.5, 0.01, 200):
        weights = MultiTaskElasticNet(alpha=alpha, l1_ratio=0.9, fit_intercept=False, tol=1e-8, max_iter=5000)
        kept = np.flatnonzero(np.abs(weights.fit(x, y).coef_).max(0) > 1e-9)
        sizes.setdefault(len(kept), kept.tolist())
    assert found == sizes[5]


def test_no_representation_sees_more_than_the_training_rows():
    labelled, own = planted()
    changed_margin = own.margin.copy()
    changed_margin[TEST] = 100.0
    changed = features(list(own.texts), changed_margin)
    codes = labelled.codes.copy()
    codes[TEST] = 0
    for size in (2, 5):
        one = ChosenAnswers(own, labelled.codes, [2, 5]).of_size(size)(TRAIN)
        other = ChosenAnswers(changed, codes, [2, 5]).of_size(size)(TRAIN)
        np.testing.assert_array_equal(one[TRAIN], other[TRAIN])
    texts = [f"word{i % 7} other" for i in TRAIN] + ["unseen words alone" for _ in TEST]
    matrix = tfidf(texts)(TRAIN)
    assert matrix.shape[1] == 15  # seven words, `other`, and seven pairs
    assert matrix[TEST].nnz == 0


def test_texts_without_words_are_named():
    with pytest.raises(BadInput, match="no word of two letters in any of 2 training texts, such as `! !`"):
        tfidf(["! !", "? ?", "word"])(np.array([0, 1]))


def test_embeddings_have_entries_of_about_one():
    _, own = planted()
    np.testing.assert_allclose(np.square(embedded(own.embedding)(TRAIN)).mean(), 1.0, rtol=1e-5)


def test_the_fit_is_scikit_learns_grid_search():
    labelled, own = planted()
    codes = labelled.codes.copy()
    flipped = np.random.default_rng(1).random(len(codes)) < 0.3
    codes[flipped] = (codes[flipped] + 1) % 4
    represent = embedded(own.margin / 10)  # learns nothing, so that the grid search needs no pipeline
    inner = folds(labelled, TRAIN, 3, seed=0)
    fitted = _fit(represent, codes, TRAIN, inner)
    matrix = represent(TRAIN)
    position = {row: number for number, row in enumerate(TRAIN)}
    cv = [([position[r] for r in a], [position[r] for r in b]) for a, b in inner]
    peer = GridSearchCV(LogisticRegression(max_iter=2000), {"C": PENALTIES}, scoring="neg_log_loss", cv=cv)
    peer.fit(matrix[TRAIN], codes[TRAIN])
    assert fitted.penalty == peer.best_params_["C"]
    np.testing.assert_allclose(
        fitted.model.predict_proba(fitted.matrix[TEST]), peer.predict_proba(matrix[TEST]), atol=1e-6
    )


def test_a_class_that_an_inner_fold_lacks_is_no_error():
    _, own = planted(40)
    codes = np.arange(40) % 2
    codes[[0, 1]] = 2
    inner = [(np.arange(10, 40), np.arange(10))]
    fitted = _fit(some_answers(own, range(20)), codes, np.arange(40), inner)
    assert fitted.model.classes_.tolist() == [0, 1, 2]


def test_too_few_answered_questions_are_named():
    labelled, own = planted()
    mass = np.ones(own.margin.shape)
    mass[:, 5:] = 0.0
    silent = features(labelled.texts, own.margin, mass)
    assert answered(silent, 5, "k", "full") == [0, 1, 2, 3, 4]
    with pytest.raises(BadInput, match="classification.sizes asks for 6 questions, and of set `full` 5 are answered"):
        answered(silent, 6, "classification.sizes", "full")
