"""What training changed, from two graded jobs, by hand; and that the page says it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.report.data import Histogram, JobFacts
from qaemb.report.render import _taught_changes

NOTHING = Histogram(np.zeros(1), np.zeros(2))


def job(name: str, student: str | None, auc: dict[str, float], segmentation: str = "sentence") -> JobFacts:
    grades = pd.DataFrame({"name": list(auc), "auc": list(auc.values())})
    facts = JobFacts(name, name, "student", "m", segmentation, "full", 1, 1, NOTHING, NOTHING, grades, grades=grades)
    return replace(facts, student=student)


TRAINED = job("new", "stories", {"food": 0.9, "sound": 0.7, "place": 0.8, "only_new": 0.5})
PLAIN = job("old", None, {"sound": 0.8, "food": 0.6, "place": 0.801, "only_old": 0.5, "never": np.nan})


def test_the_change_is_question_by_question_over_those_that_both_graded():
    (change,) = _taught_changes([TRAINED, PLAIN])
    assert (change.trained, change.zero_shot) == ("new", "old")
    assert change.table["question"].tolist() == ["food", "place", "sound"]
    assert change.table["change"].tolist() == pytest.approx([0.3, -0.001, -0.1])
    assert change.sentence == (
        "Training moved the mean AUC against the gold answers from 0.734 to 0.800 over 3 questions: 1 are answered "
        "better, 1 worse."
    )


def test_jobs_on_other_texts_and_other_engines_are_no_pair():
    assert _taught_changes([TRAINED, replace(PLAIN, segmentation="tr")]) == []
    assert _taught_changes([TRAINED, replace(PLAIN, engine="shared")]) == []
    assert _taught_changes([TRAINED]) == []
    assert _taught_changes([TRAINED, replace(PLAIN, grades=None)]) == []
