from __future__ import annotations

import math

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.tracking.record import clean_key, clean_metrics, clean_params, clean_tags


def test_long_parameters_are_cut_to_500_characters_and_say_how_long_they_were():
    value = clean_params({"questions": "q" * 3000})["questions"]
    assert len(value) == 500
    assert value.endswith("... (3000 characters)")


def test_values_become_text():
    assert clean_params({"delays": [1, 2], "none": None}) == {"delays": "[1, 2]", "none": "None"}
    assert clean_tags({"dvc.data/work/a+b": "abc"}) == {"dvc.data/work/a_b": "abc"}


def test_nan_and_infinite_metrics_are_left_out():
    metrics = clean_metrics({"r": np.float32(0.5), "ceiling": math.nan, "share": math.inf, "n": 3})
    assert metrics == {"r": 0.5, "n": 3.0}


def test_a_metric_that_is_no_number_is_named():
    with pytest.raises(BadInput, match="metric `r` is not a number: 'high'"):
        clean_metrics({"r": "high"})


def test_two_names_that_mlflow_can_not_tell_apart_are_named():
    with pytest.raises(BadInput, match="two names become `a_b`"):
        clean_metrics({"a+b": 1.0, "a_b": 2.0})


def test_names_keep_what_mlflow_allows():
    assert clean_key("auc/qa.core: food-1 x") == "auc/qa.core: food-1 x"
    assert len(clean_key("x" * 400)) == 250
