"""Models on served features: trained on the history, logged in MLflow, loaded again and used on what is online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.serving import ServedFeatures, historical_features
from qaemb.tracking import FeatureContract, FeatureModel, RunRecord, Tracker, Training, data_tags
from qaemb.workspace import Workspace

EXPERIMENT = "served models"


@dataclass(frozen=True)
class Rows:
    """Labelled rows: `segments`, the time (UTC) whose answers are used, and the `target` to predict, with its name."""

    segments: Sequence[str]
    asked_at: Any
    target: Sequence[Any]
    target_name: str


def train(
    workspace: Workspace, service: str, rows: Rows, estimator: Any, columns: Sequence[str] | None = None
) -> FeatureModel:
    """Return an estimator fitted on a service's features of the rows at their time.

    `service` is a set that is published now, or a version of it. The model's contract names the version, whose service
    stays, with the same columns. `columns`: some of its questions, in this order; None: all.
    """
    contract = _contract(ServedFeatures(workspace.feature_repo), service, columns)
    table = features_then(workspace, contract, rows.segments, rows.asked_at)
    return FeatureModel(estimator.fit(contract.frame(table), np.asarray(rows.target)), contract)


def features_then(
    workspace: Workspace, contract: FeatureContract, segments: Sequence[str], asked_at: Any
) -> pd.DataFrame:
    """Return a model's features of segments as they were at a time, from the history.

    BadInput as `historical_features` raises it.
    """
    rows = pd.DataFrame({"segment": list(segments), "event_timestamp": asked_at})
    return historical_features(workspace.feature_repo, rows, contract.service)[list(contract.columns)]


def features_now(served: ServedFeatures, contract: FeatureContract, segments: Sequence[str]) -> pd.DataFrame:
    """Return a model's features of segments from the online store.

    BadInput where answers of another version are published, and for a segment without answers.
    """
    return served.features_of(segments, contract.service)[list(contract.columns)]


def predict_now(workspace: Workspace, model: FeatureModel, segments: Sequence[str]) -> NDArray[np.float64]:
    """Return the model's probabilities (segments, classes) from the online features of segments."""
    return model.predict_proba(features_now(ServedFeatures(workspace.feature_repo), model.contract, segments))


def log(workspace: Workspace, name: str, model: FeatureModel, rows: Rows, metrics: dict[str, float]) -> str:
    """Log a model in experiment `served models`, with its training features as an input, and return its id."""
    contract = model.contract
    about = {"service": contract.service, "version": contract.version, "answerer": contract.answerer}
    tags = {**data_tags(workspace.root, [workspace.feature_repo / "history"]), "feast.service": contract.service}
    tracker = Tracker(workspace.mlruns)
    params = {**about, "target": rows.target_name, "n_columns": len(contract.columns)}
    run_id = tracker.log_run(EXPERIMENT, RunRecord(name, params, metrics, tags))
    features = features_then(workspace, contract, rows.segments, rows.asked_at)
    return tracker.log_feature_model(run_id, name, model, Training(features, rows.target, rows.target_name))


def _contract(served: ServedFeatures, service: str, columns: Sequence[str] | None) -> FeatureContract:
    names, version = served.columns(service), served.version(service)
    absent = [name for name in columns or () if name not in names]
    if absent:
        raise BadInput(f"feature service `{service}` has no column `{absent[0]}`; it has {', '.join(names)}")
    return FeatureContract(version.service, version.id, version.answerer, version.answerer_key, tuple(columns or names))
