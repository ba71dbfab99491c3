"""Tables of an evaluation: every row is what the cells of that question alone give."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from qaemb.questions import Question
from qaemb.validation.evaluation import _POOLED, CellAnswers, agreement, overall, per_question, reliability_table
from qaemb.validation.gold_set import GoldSetBuilder


@pytest.fixture
def gold():
    rng = np.random.default_rng(2)
    builder = GoldSetBuilder("g")
    for text in range(40):
        for question in range(3):
            label = 1.0 if question == 2 else float(rng.random() < 0.4)
            if rng.random() < 0.8:
                builder.add(f"text {text}", Question(f"q{question}", f"Is it {question}?"), label, "here")
    return builder.build("here")


@pytest.fixture
def answers(gold):
    rng = np.random.default_rng(3)
    return CellAnswers(rng.normal(gold.labels, 1), rng.random(gold.n_cells))


def test_a_question_is_scored_on_its_own_cells(gold, answers):
    table = per_question(gold, answers, low_mass=0.5).set_index("name")
    for number, name in enumerate(["q0", "q1"]):
        on = gold.columns == number
        assert table.loc[name, "n"] == on.sum()
        assert table.loc[name, "n_yes"] == gold.labels[on].sum()
        assert table.loc[name, "auc"] == pytest.approx(roc_auc_score(gold.labels[on], answers.margin[on]))
        assert table.loc[name, "share_low_mass"] == pytest.approx((answers.mass[on] < 0.5).mean())
    assert np.isnan(table.loc["q2", "auc"])
    assert table.loc["q2", "brier"] > 0


def test_the_mean_leaves_out_questions_with_one_class(gold, answers):
    table = per_question(gold, answers, 0.1)
    summary = overall(gold, answers, table, 0.1, seed=0)
    assert (summary["n_defined"], summary["n_undefined"]) == (2, 1)
    assert summary["mean"]["auc"] == pytest.approx(table["auc"][:2].mean())
    assert summary["mean"]["ece"] == pytest.approx(table["ece"][:2].mean())
    assert summary["pooled"]["auc"] == pytest.approx(roc_auc_score(gold.labels, answers.margin))
    low, high = summary["mean_auc_interval"]
    assert low < summary["mean"]["auc"] < high
    assert overall(gold, answers, table, 0.1, seed=0) == summary


def test_curves_cover_all_cells(gold, answers):
    table = reliability_table(gold, answers)
    assert table["name"].drop_duplicates().tolist() == [_POOLED, "q0", "q1", "q2"]
    assert table.groupby("name")["n"].sum()[_POOLED] == gold.n_cells
    assert ((table["mean_p"] >= table["low"]) & (table["mean_p"] <= table["high"])).all()


def test_agreement_compares_each_pair_question_by_question(gold, answers):
    rng = np.random.default_rng(4)
    others = {
        name: CellAnswers(answers.margin + rng.normal(size=gold.n_cells), answers.mass) for name in ("second", "third")
    }
    table = agreement(gold, {"first": answers, **others})
    pairs = table[["first", "second"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["first", "second"], ["first", "third"], ["second", "third"]]
    assert len(table) == 3 * 4
    row = table[(table["second"] == "third") & (table["first"] == "first") & (table["name"] == "q1")].iloc[0]
    on = gold.columns == 1
    a, b = answers.margin[on], others["third"].margin[on]
    assert row["r"] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert row["kappa"] == pytest.approx(cohen_kappa_score(a > 0, b > 0))
    assert row["share_equal"] == pytest.approx(((a > 0) == (b > 0)).mean())
    assert agreement(gold, {"first": answers}).empty


def test_ratings_are_correlated_with_the_probability_of_yes():
    builder = GoldSetBuilder("r", is_rating=True)
    rng = np.random.default_rng(5)
    for text in range(30):
        builder.add(f"text {text}", Question("q1", "Is it warm?"), rng.normal(), "here")
        builder.add(f"text {text}", Question("q2", "Is it even?"), 1.0, "here")
    gold = builder.build("here")
    answers = CellAnswers(gold.labels + rng.normal(size=60), np.ones(60))
    table = per_question(gold, answers, 0.1)
    on, p = gold.columns == 0, 1 / (1 + np.exp(-answers.margin))
    assert table["spearman"][0] == pytest.approx(spearmanr(p[on], gold.labels[on]).statistic)
    assert table["pearson"][0] == pytest.approx(np.corrcoef(p[on], gold.labels[on])[0, 1])
    assert np.isnan(table["spearman"][1])
    summary = overall(gold, answers, table, 0.1, seed=0)
    assert summary["n_undefined"] == 1
    assert "mean_auc_interval" not in summary
