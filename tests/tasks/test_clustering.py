"""Choosing questions without labels, and k-means on what was chosen."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, v_measure_score

from qaemb.errors import BadInput
from qaemb.tasks import evaluate_task
from qaemb.tasks.clustering import Described, _choose, _estimate, _relevances
from qaemb.tasks.labelled import Labelled
from tests.tasks.planted import features, settings

DESCRIPTION = "texts about two things"
SECTION = {"describe": DESCRIPTION, "n_chosen": 3, "n_seeds": 2, "n_random": 2}
ABOUT = (2, 5, 7)  # the questions that the classes differ in, whose wording is near the description


def world(n_texts: int = 90):
    """Three classes, each with a yes to one question of ABOUT; the answers to 37 others are louder, and noise."""
    rng = np.random.default_rng(0)
    codes = np.arange(n_texts) % 3
    margin = rng.normal(0.0, 1.0, (n_texts + 1, 40))
    for code, column in enumerate(ABOUT):
        margin[:n_texts, column] = np.where(codes == code, 3.0, -3.0) + rng.normal(0.0, 0.5, n_texts)
        margin[n_texts, column] = 30.0
    texts = [*(f"text {i}" for i in range(n_texts)), DESCRIPTION]
    own = features(texts, margin)
    own.question_embedding[list(ABOUT)] = own.embedding[n_texts]
    labelled = Labelled(texts[:-1], ["abc"[code] for code in codes])
    return Described(labelled, DESCRIPTION), own


def test_questions_are_chosen_by_wording_by_the_answer_about_the_description_and_by_variance():
    _, own = world()
    ways = dict(_relevances(own, np.arange(90), 90))
    assert list(ways) == ["wording", "described", "varied"]
    for relevance in ways.values():
        assert (relevance.min(), relevance.max()) == (0.0, 1.0)
        assert set(_choose(relevance, own.margin[:90].astype(float), 3)) == set(ABOUT)
    assert list(dict(_relevances(own, np.arange(90), None))) == ["varied"]


def test_wording_is_the_cosine():
    _, own = world()
    relevance = dict(_relevances(own, np.arange(90), 90))["wording"]
    cosines = np.array([float(question @ own.embedding[90]) for question in own.question_embedding])
    np.testing.assert_array_equal(np.argsort(relevance, kind="stable"), np.argsort(cosines, kind="stable"))


def test_a_question_that_says_the_same_as_a_chosen_one_waits():
    rng = np.random.default_rng(0)
    first, other = rng.standard_normal((2, 50))
    same, opposite = first + 0.05 * rng.standard_normal(50), -first
    answers = np.column_stack([first, same, opposite, other, np.full(50, 2.0)])
    relevance = np.array([1.0, 0.95, 0.9, 0.3, 1.0])
    order = _choose(relevance, answers, 5)
    assert order[:2] == [0, 3]  # the opposite answer tells nothing new either
    assert order[4] == 4  # neither does a constant one
    unseen = np.corrcoef(answers[:, :4].T)[0] ** 2
    np.testing.assert_array_less(relevance[1:3] * (1 - unseen[1:3]), relevance[3] * (1 - unseen[3]))


def test_all_methods_are_scored_and_chosen_questions_find_the_classes():
    task, own = world()
    result = evaluate_task(task, own, settings("clustering", clustering=SECTION))
    scores = {method.name: method.metrics for method in result.methods}
    ways = ["answers_wording", "answers_described", "answers_varied"]
    assert list(scores) == ["answers_all", *ways, "random", "tfidf", "embedding"]
    for way in ways:
        assert scores[way]["v_measure"] == pytest.approx(1.0)
        assert scores[way]["separation"] > scores["answers_all"]["separation"]
        expected = 1.0 - scores["random"]["v_measure"]
        assert result.metrics[f"{way}_minus_random_v_measure"] == pytest.approx(expected)
    assert scores["embedding"]["v_measure"] < 0.2
    assert result.metrics["n_texts"] == 90  # the description is none of them
    assert result.metrics["n_clusters"] == 3
    chosen = result.tables["chosen"]
    assert set(chosen[chosen["way"] == "answers_wording"]["name"]) == {f"q{column}" for column in ABOUT}
    clusters = result.tables["clusters"]
    assert sorted(clusters["label"]) == ["a", "b", "c"]
    assert (clusters["share"] == 1.0).all()
    for _, row in clusters.iterrows():
        assert row["more_yes"].startswith(f"Does the text have property {ABOUT['abc'.index(row['label'])]}?")


def test_scores_are_scikit_learns_means_over_runs():
    task, own = world()
    codes = task.labelled.codes
    found = {m.name: m.metrics for m in evaluate_task(task, own, settings("clustering", clustering=SECTION)).methods}
    runs = [KMeans(3, n_init=10, random_state=seed).fit_predict(own.embedding[:90].astype(float)) for seed in (0, 1)]
    each = [v_measure_score(codes, run) for run in runs]
    assert found["embedding"]["v_measure"] == pytest.approx(np.mean(each))
    assert found["embedding"]["v_measure_sd_runs"] == pytest.approx(np.std(each))
    rand = np.mean([adjusted_rand_score(codes, run) for run in runs])
    assert found["embedding"]["adjusted_rand"] == pytest.approx(rand)


def test_without_a_description_questions_are_chosen_by_variance_alone():
    task, own = world()
    alone = Described(task.labelled)
    assert alone.texts == task.labelled.texts
    assert task.texts == [*task.labelled.texts, DESCRIPTION]
    result = evaluate_task(alone, own, settings("clustering", clustering={"n_chosen": 3, "n_seeds": 1}))
    assert [m.name for m in result.methods] == ["answers_all", "answers_varied", "random", "tfidf", "embedding"]


def test_labels_have_no_part_in_choosing_or_clustering():
    task, own = world()
    shuffled = Labelled(task.labelled.texts, list(np.random.default_rng(1).permutation(task.labelled.label)))
    one, other = (
        evaluate_task(Described(labelled, DESCRIPTION), own, settings("clustering", clustering=SECTION))
        for labelled in (task.labelled, shuffled)
    )
    assert one.tables["chosen"].equals(other.tables["chosen"])
    assert one.tables["clusters"]["more_yes"].tolist() == other.tables["clusters"]["more_yes"].tolist()


def test_an_interval_lies_around_the_value():
    own = _estimate(np.array([0.5, 0.6, 0.7, 0.8]))
    half = 1.96 * np.std([0.6, 0.7, 0.8], ddof=1)
    assert (own.low, own.value, own.high) == pytest.approx((0.5 - half, 0.5, 0.5 + half))


def test_too_few_texts_or_questions_are_named():
    task, own = world(6)
    with pytest.raises(BadInput, match="6 texts can't form 6 clusters"):
        evaluate_task(task, own, settings("clustering", clustering=SECTION | {"n_clusters": 6}))
    with pytest.raises(BadInput, match="clustering.n_chosen asks for 60 questions"):
        evaluate_task(task, own, settings("clustering", clustering=SECTION | {"n_chosen": 60}))
