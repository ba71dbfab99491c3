"""Retrieval on planted answers: what is learnt, from whom, and what it is compared with."""

from dataclasses import replace

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.settings import RetrievalTask
from qaemb.tasks.retrieval.evaluate import _problem, _splits, evaluate_retrieval
from qaemb.tasks.retrieval.fit import N_STEPS, Fold, _per_query, fit_and_score, inner_folds
from qaemb.tasks.retrieval.sets import RetrievalSet

from .worlds import features_of, planted_set


def settings(**own) -> RetrievalTask:
    base = {"kind": "retrieval", "data": "-", "answerer": "a", "encoder": "e", "n_resamples": 200}
    return RetrievalTask.model_validate(base | own)


@pytest.fixture(scope="module")
def planted():
    data, features = planted_set()
    return data, features, evaluate_retrieval(data, features, settings())


def scores_of(result) -> dict[str, dict[str, float]]:
    return {method.name: dict(method.metrics) for method in result.methods}


def test_answers_find_what_they_tell_and_weights_find_the_questions_that_do(planted):
    _, _, result = planted
    scores = scores_of(result)
    assert scores["answers_weighted"]["mrr"] > scores["answers"]["mrr"] > 0.3  # by chance 0.13
    assert scores["bm25"]["mrr"] < 0.3
    assert scores["bm25+answers"]["mrr"] > scores["bm25"]["mrr"] + 0.3
    assert result.metrics["bm25+answers_minus_bm25_mrr"] == pytest.approx(
        scores["bm25+answers"]["mrr"] - scores["bm25"]["mrr"]
    )
    assert result.metrics["bm25+answers_minus_bm25_mrr_p"] < 0.01
    assert set(result.tables["weights"]["question"][:3]) == {"q0", "q1", "q2"}
    assert (result.tables["weights"]["least"] >= 0).all()


def test_the_scores_are_the_means_of_the_queries_and_their_intervals_hold_them(planted):
    data, _, result = planted
    queries, scores = result.tables["queries"], scores_of(result)
    assert sorted(queries["query"]) == sorted(data.queries)
    for name, own in scores.items():
        assert own["ndcg_10"] == pytest.approx(queries[name].mean())
        assert own["ndcg_10_low"] <= own["ndcg_10"] <= own["ndcg_10_high"]
    assert result.notes == ["30 documents, 40 test queries, learnt from 32 others (folds)"]


def test_answers_that_tell_nothing_do_no_harm():
    data, features = planted_set(seed=3)
    words = {name: f"{text} {data.documents[next(iter(data.grades[name]))]}" for name, text in data.queries.items()}
    data = replace(data, queries=words)
    noise = np.random.default_rng(1).normal(size=features.margin.shape)
    result = evaluate_retrieval(data, features_of([*data.documents.values(), *words.values()], noise), settings())
    scores = scores_of(result)
    assert scores["bm25"]["mrr"] > 0.95
    assert scores["bm25+answers"]["mrr"] > scores["bm25"]["mrr"] - 0.02
    assert scores["answers_weighted"]["mrr"] < 0.4
    mixtures = result.tables["mixtures"]
    own = mixtures[mixtures["combination"] == "bm25+answers"].groupby("method")["weight"].mean()
    assert own["answers_weighted"] < 0.1 * own["bm25"]


def test_test_queries_have_no_part_in_what_is_learnt():
    data, features = planted_set()
    problem = _problem(data, features)
    train, test = np.arange(30), np.arange(30, 40)

    def learnt(grades: np.ndarray, queries: np.ndarray):
        changed = replace(problem, judged=replace(problem.judged, grades=grades), query_margin=queries)
        return fit_and_score(Fold(changed, train, test, 0, int))

    first = learnt(problem.judged.grades, problem.query_margin)
    grades, margins = problem.judged.grades.copy(), problem.query_margin.copy()
    grades[test] = np.roll(grades[test], 7, axis=1)
    margins[test] = 5.0
    second = learnt(grades, margins)
    assert np.array_equal(first.learnt.weights, second.learnt.weights)
    assert all(np.array_equal(first.shares[name], second.shares[name]) for name in first.shares)
    assert not np.array_equal(first.scores["answers"], second.scores["answers"])


def test_documents_that_are_test_queries_have_no_part_in_learning_and_are_no_results_of_themselves():
    rng = np.random.default_rng(0)
    names = [f"d{number}" for number in range(24)]
    texts = {name: f"text {name} {' '.join(rng.choice(['sun', 'sea', 'ship'], 2))}" for name in names}
    margin = rng.normal(size=(24, 5))
    near = np.argsort(((margin[:, None] - margin[None]) ** 2).sum(2), axis=1)[:, 1:4]
    grades = {name: {names[other]: 1.0 for other in near[row]} for row, name in enumerate(names)}
    data = RetrievalSet(texts, texts, grades)
    problem = _problem(data, features_of(list(texts.values()), margin))
    train, test = np.arange(18), np.arange(18, 24)
    first = fit_and_score(Fold(problem, train, test, 0, int))
    changed = problem.judged.grades.copy()
    changed[:, test] = 1 - changed[:, test]  # what train queries say of the texts that are tested
    second = fit_and_score(Fold(replace(problem, judged=replace(problem.judged, grades=changed)), train, test, 0, int))
    assert np.array_equal(first.learnt.weights, second.learnt.weights)
    result = evaluate_retrieval(data, features_of(list(texts.values()), margin), settings())
    assert scores_of(result)["answers"]["mrr"] > 0.7
    explained = result.tables["explanations"]
    assert all(texts[row["document"]] != row["query"] for row in explained.to_dict("records"))


def test_questions_that_a_student_abstains_from_count_where_that_helps():
    data, features = planted_set()
    mass = np.ones_like(features.margin)
    mass[:, 3:] = 0  # all but the questions that tell
    counted = evaluate_retrieval(data, replace(features, mass=mass), settings())
    assert counted.tables["mixtures"]["counts_mass"].all()
    assert scores_of(counted)["answers"]["mrr"] > 0.8
    ignored = evaluate_retrieval(data, replace(features, mass=1 - mass), settings())
    assert not ignored.tables["mixtures"]["counts_mass"].any()


def test_contributions_add_up_and_name_the_answers(planted):
    data, features, result = planted
    table = result.tables["explanations"]
    assert (table.groupby("query")["share"].sum() > 0.5).all()
    assert (table.groupby("query").size() == 5).all()
    row = table.iloc[0]
    text = data.documents[row["document"]]
    question = [own.text for own in features.questions].index(row["question"])
    margin = features.margin[features.rows([text])[0], question]
    assert row["document_yes"] == pytest.approx(1 / (1 + np.exp(-margin)), rel=1e-5)
    assert row["grade"] == data.grades[data_name(data, row["query"])].get(row["document"], 0.0)


def data_name(data: RetrievalSet, text: str) -> str:
    return next(name for name, own in data.queries.items() if own == text)


def test_the_split_is_the_sets_own_a_share_or_folds():
    data, _ = planted_set(train=12)
    (own,) = _splits(data, settings())
    assert own[0].tolist() == list(range(12))
    assert own[1].tolist() == list(range(12, 40))
    free, _ = planted_set()
    (share,) = _splits(free, settings(retrieval={"train_share": 0.25}))
    assert (len(share[0]), len(share[1])) == (10, 30)
    assert set(share[0]) | set(share[1]) == set(range(40))
    folds = _splits(free, settings(retrieval={"n_folds": 4}))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(40))
    assert all(not set(train) & set(test) for train, test in folds)
    again = _splits(free, settings(retrieval={"n_folds": 4}))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))


@pytest.mark.parametrize(("n_train", "own"), [(2, {}), (0, {"retrieval": {"train_share": 0.05}}), (40, {})])
def test_too_few_queries_to_learn_from_or_to_test_are_said(n_train, own):
    data, features = planted_set(train=n_train)
    with pytest.raises(BadInput, match=r"queries to learn from are too few, or none is left to test"):
        evaluate_retrieval(data, features, settings(**own))


def test_scores_per_query_have_mean_zero_and_deviation_one_over_possible_results():
    scores = np.array([[1.0, 2.0, 3.0, 99.0], [5.0, 5.0, 5.0, 5.0]])
    never = np.array([[False, False, False, True], [False] * 4])
    found = _per_query(scores, never)
    assert found[0, :3] == pytest.approx((np.array([1, 2, 3]) - 2) / np.std([1, 2, 3]))
    assert found[1].tolist() == [0, 0, 0, 0]


def test_every_step_is_told():
    data, features = planted_set(n_queries=20)
    told = []
    fit_and_score(Fold(_problem(data, features), np.arange(15), np.arange(15, 20), 0, lambda: told.append(1)))
    assert len(told) == N_STEPS
    assert sorted(np.concatenate([held for _, held in inner_folds(7, 3, 0)])) == list(range(7))
