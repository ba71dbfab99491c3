"""Models on served features in a real MLflow: saved with their service and columns, loaded, and strict about both."""

from pathlib import Path
from urllib.parse import urlparse

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qaemb.errors import BadInput
from qaemb.tracking import FeatureContract, FeatureModel, RunRecord, Training

COLUMNS = ("food", "motion", "speech")
CONTRACT = FeatureContract("core_v_0123abcd", "0123abcd", "llama", "key-1", COLUMNS)
RNG = np.random.default_rng(0)
FEATURES = pd.DataFrame(RNG.normal(size=(40, 3)).astype(np.float32), columns=list(COLUMNS))
TARGET = (FEATURES["food"] > 0).to_numpy()


@pytest.fixture
def model() -> FeatureModel:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    return FeatureModel(pipeline.fit(CONTRACT.frame(FEATURES), TARGET), CONTRACT)


@pytest.fixture
def tracker(tmp_path, new_tracker):
    return new_tracker(tmp_path / "mlruns")


def log(tracker, model, **training) -> tuple[str, str]:
    run_id = tracker.log_run("downstream", RunRecord("food"))
    return run_id, tracker.log_feature_model(
        run_id, "food", model, Training(FEATURES, list(TARGET), "is_food", **training)
    )


def test_a_loaded_model_predicts_the_same_bits_and_knows_its_features(tracker, model):
    _, model_id = log(tracker, model)
    loaded = tracker.load_feature_model(model_id)
    assert loaded.contract == CONTRACT
    assert np.array_equal(loaded.predict_proba(FEATURES), model.predict_proba(FEATURES))
    assert np.array_equal(loaded.predict(FEATURES), model.predict(FEATURES))
    # The same margins as float64, and in another memory layout.
    other = pd.DataFrame({name: FEATURES[name].astype(np.float64) for name in COLUMNS})
    assert np.array_equal(loaded.predict_proba(other), model.predict_proba(FEATURES))


def test_the_run_has_the_features_as_its_input(tracker, model):
    run_id, model_id = log(tracker, model, tags={"made by": "a test"})
    (own,) = tracker._client().get_run(run_id).inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in own.tags}
    assert own.dataset.name == "core_v_0123abcd"
    assert tags["mlflow.data.context"] == "training"
    assert tags["feast.service"] == "core_v_0123abcd"
    assert tags["feast.version"] == "0123abcd"
    assert tags["qaemb.answerer_key"] == "key-1"
    assert tags["made by"] == "a test"
    assert '"is_food"' in own.dataset.schema
    assert tracker._client().get_logged_model(model_id).source_run_id == run_id


def test_mlflows_own_loader_takes_it_and_nothing_in_it_is_a_pickle(tracker, model):
    _, model_id = log(tracker, model)
    location = tracker._client().get_logged_model(model_id).artifact_location
    folder = Path(urlparse(location).path)
    assert {path.name for path in folder.iterdir()} >= {"MLmodel", "model.skops", "requirements.txt"}
    plain = mlflow.sklearn.load_model(str(folder))
    assert np.array_equal(plain.predict(CONTRACT.frame(FEATURES)), model.predict(FEATURES))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["food", "motion"], r"trained on 3 columns of .* `core_v_0123abcd` .*missing `speech`; unexpected none"),
        (["food", "motion", "speech", "rain"], "missing none; unexpected `rain`"),
        (["food", "motion", "rain"], "missing `speech`; unexpected `rain`"),
        (["motion", "food", "speech"], "in another order: number 0 is `motion` and should be `food`"),
        (["food", "motion", "speech", "food"], "missing none; unexpected `food`"),
    ],
)
def test_other_columns_are_refused_by_name(model, columns, says):
    table = pd.DataFrame(np.zeros((2, len(columns)), np.float32), columns=columns)
    with pytest.raises(BadInput, match=says):
        model.predict(table)


def test_a_row_without_an_answer_is_named(model):
    table = FEATURES.copy()
    table.loc[7, "motion"] = np.nan
    with pytest.raises(BadInput, match="row 7 has no finite value in column `motion`"):
        model.predict_proba(table)


def test_a_model_that_is_not_there_or_not_of_features_is_named(tracker, model, monkeypatch):
    _, model_id = log(tracker, model)
    with pytest.raises(BadInput, match="MLflow has no model `m-nothing`"):
        tracker.load_feature_model("m-nothing")
    monkeypatch.setattr("qaemb.tracking.feature_model._FEATURES", "another")
    with pytest.raises(BadInput, match="does not say which feature service"):
        tracker.load_feature_model(model_id)


def test_a_failure_leaves_no_model_behind(tracker, model, monkeypatch):
    def fail(*arguments):
        raise OSError("the disk went away")

    monkeypatch.setattr(type(tracker._client()), "log_inputs", fail)
    with pytest.raises(OSError, match="went away"):
        log(tracker, model)
    experiment = tracker._client().get_experiment_by_name("downstream").experiment_id
    assert not tracker._client().search_logged_models([experiment])
    assert not list((tracker.mlruns / "artifacts").rglob("*.skops"))
