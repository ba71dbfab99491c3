"""The spread over prompts: by hand on a small case, and against plain numpy."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from qaemb.questions import Question
from qaemb.validation.evaluation import _POOLED, CellAnswers, sensitivity, sensitivity_summary, sensitivity_text
from qaemb.validation.gold_set import GoldSet, GoldSetBuilder


def gold_of(cells: list[tuple[str, str, float]], is_rating: bool = False) -> GoldSet:
    builder = GoldSetBuilder("g", is_rating)
    for text, question, label in cells:
        builder.add(text, Question(question, f"Is it {question}?"), label, "here")
    return builder.build("here")


def answers_of(*margins: float) -> CellAnswers:
    return CellAnswers(np.array(margins, np.float64), np.ones(len(margins)))


def test_two_prompts_by_hand():
    gold = gold_of([("a", "q", 1.0), ("b", "q", 0.0), ("a", "r", 1.0)])
    # P(yes) is 3/4, 1/4, 1/2 under one prompt and 1/4, 1/4, 3/4 under the other. The SD of two is their distance / √2.
    log3 = np.log(3)
    table = sensitivity(gold, {"one": answers_of(log3, -log3, 0.0), "other": answers_of(-log3, -log3, log3)})
    assert table["name"].tolist() == [_POOLED, "q", "r"]
    assert table["question"].tolist() == ["", "Is it q?", "Is it r?"]
    assert table["n"].tolist() == [3, 2, 1]
    distances = np.array([0.5, 0.0, 0.25]) / np.sqrt(2)
    np.testing.assert_allclose(table["sd_prompts"], [distances.mean(), distances[:2].mean(), distances[2]])
    means = np.array([0.5, 0.25, 0.625])
    np.testing.assert_allclose(table["sd_texts"], [means.std(ddof=1), means[:2].std(ddof=1), np.nan])
    np.testing.assert_allclose(table["share_flipped"], [2 / 3, 1 / 2, 1.0])  # a margin of 0 is a no
    assert table["auc_low"][1] == 0.5  # a tie under the other prompt
    assert table["auc_high"][1] == 1.0
    assert np.isnan(table["auc_low"][2])
    summary = sensitivity_summary(table)
    assert summary["mean"]["share_flipped"] == pytest.approx(0.75)
    assert summary["mean"]["auc_low"] == 0.5  # over the questions that have it
    assert summary["pooled"]["sd_prompts"] == pytest.approx(distances.mean())
    assert summary["pooled"]["n"] == 3


def test_many_prompts_agree_with_numpy():
    rng = np.random.default_rng(0)
    labels = (rng.random(60) < 0.4).astype(float)
    gold = gold_of([(f"t{n // 2}", f"q{n % 2}", label) for n, label in enumerate(labels)])
    answers = {f"p{n}": CellAnswers(rng.normal(labels, 2), np.ones(60)) for n in range(4)}
    table = sensitivity(gold, answers).set_index("name")
    for name, on in ((_POOLED, np.arange(60)), ("q0", np.arange(0, 60, 2)), ("q1", np.arange(1, 60, 2))):
        margins = np.array([own.margin[on] for own in answers.values()])
        aucs = [roc_auc_score(labels[on], margin) for margin in margins]
        assert table.loc[name, "auc_low"] == pytest.approx(min(aucs))
        assert table.loc[name, "auc_high"] == pytest.approx(max(aucs))
        p = 1 / (1 + np.exp(-margins))
        assert table.loc[name, "sd_prompts"] == pytest.approx(np.std(p, axis=0, ddof=1).mean())
        assert table.loc[name, "share_flipped"] == np.mean([len(set(c)) > 1 for c in (margins > 0).T])


def test_prompts_that_answer_alike_have_no_spread():
    gold = gold_of([("a", "q", 1.0), ("b", "q", 0.0)])
    table = sensitivity(gold, {"one": answers_of(2.0, -1.0), "other": answers_of(2.0, -1.0)})
    assert table["sd_prompts"].tolist() == table["share_flipped"].tolist() == [0.0, 0.0]
    assert (table["sd_texts"] > 0.3).all()


def test_ratings_have_the_range_of_their_correlation():
    rng = np.random.default_rng(1)
    ratings = rng.normal(size=20)
    gold = gold_of([(f"t{n}", "q", rating) for n, rating in enumerate(ratings)], is_rating=True)
    answers = {f"p{n}": CellAnswers(ratings + rng.normal(size=20), np.ones(20)) for n in range(3)}
    table = sensitivity(gold, answers)
    rho = [spearmanr(own.margin, ratings).statistic for own in answers.values()]
    np.testing.assert_allclose(table[["spearman_low", "spearman_high"]], [[min(rho), max(rho)]] * 2)


def test_the_printed_table_has_the_most_sensitive_questions_and_the_totals():
    questions = [f"q{n:02}" for n in range(14)]
    gold = gold_of([("a", name, 1.0) for name in questions] + [("b", name, 0.0) for name in questions])
    shift = np.tile(np.arange(14) / 10, 2)
    table = sensitivity(gold, {"one": CellAnswers(shift, shift), "other": CellAnswers(-shift, shift)})
    lines = sensitivity_text("llm", 2, table, sensitivity_summary(table)).splitlines()
    assert lines[1] == "How much llm depends on its prompt (2 prompts)"
    assert [line.split()[0] for line in lines[3:13]] == questions[:3:-1]
    assert lines[13].split()[:4] == ["mean", "over", "questions", "-"]
    assert lines[14].split()[:3] == ["(all", "cells)", "28"]
    assert lines[15] == "4 questions that depend less on it are in sensitivity.csv"
