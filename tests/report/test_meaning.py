from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.report.data import CURVE_COLUMNS, SCORE_COLUMNS, DatasetFacts, Findings, Histogram, JobFacts, Selection
from qaemb.report.sentences import grade_in_words, needs_real_model, sentences

DATASET = DatasetFacts("tiny", 3, 1, ("cake",), 1, 1, 1, {})
NOTHING = Histogram(np.zeros(1), np.array([0.0, 1.0]))


def _job(name: str, auc: list[float]) -> JobFacts:
    grades = pd.DataFrame({"name": [f"q{i}" for i in range(len(auc))], "auc": auc})
    return JobFacts("job_" + name, name, "shared", "m", "s", "q", 1, 1, NOTHING, NOTHING, grades, grades=grades)


def _scores(rows: list[tuple[str, str, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["subject", "model", "mean_r", "share_of_ceiling"])
    return table.reindex(columns=SCORE_COLUMNS)


def _findings(rows: list[tuple[str, str, float, float]]) -> Findings:
    kinds = {"gold": "gold", "word_rate": "word_rate", "qa": "qa", "embedding": "embedding"}
    return Findings(DATASET, scores=_scores(rows), kinds=kinds)


@pytest.mark.parametrize(
    ("auc", "words"),
    [
        (0.45, "answers at chance"),
        (0.549, "answers at chance"),
        (0.60, "answers a little better than chance"),
        (0.70, "answers clearly better than chance, with many errors"),
        (0.90, "answers well"),
    ],
)
def test_grades_in_words(auc, words):
    assert grade_in_words(auc) == words


def test_an_answerer_at_chance_is_called_a_demonstration_and_needs_a_real_model():
    findings = Findings(DATASET, jobs=(_job("smollm2", [0.50, 0.52, np.nan]),))
    assert sentences(findings) == [
        "smollm2 answers at chance (mean AUC 0.51 over 2 questions with gold answers): "
        "treat its features as a demonstration of the pipeline, not as a measurement."
    ]
    assert needs_real_model(findings)


def test_an_answerer_is_judged_on_the_job_with_most_grades():
    findings = Findings(DATASET, jobs=(_job("llm", [0.9, 0.9]), _job("llm", [0.5]), _job("other", [np.nan])))
    assert sentences(findings) == ["llm answers well (mean AUC 0.90 over 2 questions with gold answers)."]
    assert not needs_real_model(replace(findings, jobs=findings.jobs[:1]))


def test_the_best_model_and_its_share_of_the_ceiling():
    findings = _findings([("S1", "qa", 0.2, 0.5), ("S2", "qa", 0.4, 0.7), ("S1", "word_rate", 0.1, 0.2)])
    assert sentences(findings)[0] == (
        "The best encoding model is qa: mean r 0.300 over 2 subjects, 60% of what the noise in the responses allows."
    )


def test_without_repeats_nothing_is_said_of_a_ceiling():
    assert sentences(_findings([("S1", "qa", 0.2, np.nan)])) == [
        "The best encoding model is qa: mean r 0.200 over the subject."
    ]


def test_gold_that_does_not_win_is_a_warning():
    rows = [
        ("S1", "gold", 0.3, 0.5),
        ("S1", "word_rate", 0.1, 0.1),
        ("S2", "gold", 0.1, 0.5),
        ("S2", "word_rate", 0.2, 0.1),
    ]
    assert "only 1 of 2 subjects: something in the data or the timing is wrong" in sentences(_findings(rows))[1]
    assert "beat word_rate on the one subject" in sentences(_findings(rows[:2]))[1]


def test_readable_features_are_compared_with_the_black_box():
    said = sentences(_findings([("S1", "qa", 0.1, 0.5), ("S1", "embedding", 0.2, 0.5)]))
    assert said[-1] == (
        "The best features that can be read, qa, reach mean r 0.100: 50% of embedding (0.200), "
        "whose features have no names."
    )


def test_a_black_box_without_a_score_is_not_compared():
    assert len(sentences(_findings([("S1", "qa", 0.1, 0.5), ("S1", "embedding", -0.2, 0.5)]))) == 1


def test_the_chosen_set_is_compared_with_the_largest_and_with_chance():
    rows = [("qa", "elastic_net", 2, 0.10), ("qa", "elastic_net", 10, 0.19), ("qa", "elastic_net", 40, 0.20)]
    rows += [("qa", "random", 5, 0.05), ("qa", "random", 15, 0.15)]
    curve = pd.DataFrame(rows, columns=CURVE_COLUMNS[:4])
    names = tuple(f"q{i}" for i in range(10))
    assert sentences(Findings(DATASET, selections=(Selection("qa", curve, names),))) == [
        "On qa, the 10 questions chosen on train stories score r 0.190 on test stories; "
        "the largest set on the path, 40 questions, scores 0.200; 10 questions at random 0.100."
    ]
    path_only = Selection("qa", curve[:3], names)
    assert sentences(Findings(DATASET, selections=(path_only,)))[0].endswith("40 questions, scores 0.200.")
    assert sentences(Findings(DATASET, selections=(Selection("qa", curve, ()),))) == []


def test_nothing_measured_says_nothing():
    assert sentences(Findings(DATASET)) == []
