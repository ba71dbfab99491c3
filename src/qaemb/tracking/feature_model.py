"""Models that were trained on served features, logged in MLflow and loaded again; they check the features they get.

MLflow's flavour for scikit-learn saves the estimator in the format of skops, which holds no pickle. The model's
metadata names its input: the feature service, its version, and the columns in their order.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput, listed
from qaemb.files import plain_os_errors
from qaemb.tracking.record import clean_tags, log_saved_model, model_folder

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.tracking import MlflowClient

_FEATURES = "qaemb.features"  # the key of the model's metadata
_EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class FeatureContract:
    """The input of a model: `columns` in this order, from a feature service of one version of one answerer."""

    service: str
    version: str
    answerer: str
    answerer_key: str
    columns: tuple[str, ...]

    def frame(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the features as float64, each rounded to float32 first: so every source of a margin gives one number.

        BadInput names missing and unexpected columns, or the first place where the order differs.
        """
        names = list(table.columns)
        missing = [name for name in self.columns if name not in names]
        unexpected = [name for i, name in enumerate(names) if name not in self.columns or name in names[:i]]
        if missing or unexpected:
            raise BadInput(
                f"the model was trained on {len(self.columns)} columns of feature service `{self.service}` and was "
                f"given others: missing {_listed(missing)}; unexpected {_listed(unexpected)}"
            )
        if tuple(names) != self.columns:
            place = next(i for i, (name, column) in enumerate(zip(names, self.columns, strict=True)) if name != column)
            raise BadInput(
                f"the model was given the columns of feature service `{self.service}` in another order: number {place} "
                f"is `{names[place]}` and should be `{self.columns[place]}`; select them as `table[list(columns)]`"
            )
        # In C order whatever the table's is: products of other layouts differ in the last bit.
        values = table.to_numpy(np.float32).astype(np.float64, order="C")
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise BadInput(
                f"row {row} has no finite value in column `{self.columns[column]}`; leave it out or answer it"
            )
        return pd.DataFrame(values, columns=names, index=table.index)


@dataclass(frozen=True)
class FeatureModel:
    """A fitted scikit-learn estimator that refuses other features than those it was trained on."""

    estimator: Any
    contract: FeatureContract

    def predict(self, table: pd.DataFrame) -> NDArray[Any]:
        """Return the estimator's predictions; BadInput for other columns than it was trained on."""
        return np.asarray(self.estimator.predict(self.contract.frame(table)))

    def predict_proba(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """Return the estimator's probabilities (rows, classes); BadInput as in `predict`."""
        return np.asarray(self.estimator.predict_proba(self.contract.frame(table)))


@dataclass(frozen=True)
class Training:
    """A model's training data: `features` (the contract's columns), `target` and its name, and tags on their origin."""

    features: pd.DataFrame
    target: Sequence[Any]
    target_name: str
    tags: Mapping[str, str] = field(default_factory=dict)


def log_feature_model(client: MlflowClient, run_id: str, name: str, model: FeatureModel, training: Training) -> str:
    """Log a model under a run, with its training features as the run's input, and return the model's id.

    A failure leaves no part of the model.
    """
    import mlflow.sklearn
    from mlflow.models import Model, infer_signature

    logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)  # it warns of formats that are not used here
    frame = model.contract.frame(training.features)
    with tempfile.TemporaryDirectory() as folder, plain_os_errors(Path(folder)), ExitStack() as undo:
        saved = Path(folder) / "saved"
        saving = Model(artifact_path=name, metadata={_FEATURES: asdict(model.contract)})
        mlflow.sklearn.save_model(
            model.estimator,
            str(saved),
            mlflow_model=saving,
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            signature=infer_signature(frame, model.estimator.predict(frame)),
            input_example=frame.head(_EXAMPLE_ROWS),
            pip_requirements=[f"{package}=={version(package)}" for package in ("mlflow", "scikit-learn", "skops")],
        )
        logged = log_saved_model(client, run_id, saving, saved, "downstream", undo)
        client.log_inputs(run_id, [_dataset(model.contract, frame, training)])
        undo.pop_all()
    return str(logged.model_id)


def load_feature_model(client: MlflowClient, model_id: str) -> FeatureModel:
    """Return a logged model; BadInput where there is none of this id or it was not trained on served features."""
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        folder = model_folder(client.get_logged_model(model_id))
    except MlflowException as error:
        raise BadInput(f"MLflow has no model `{model_id}`: {error}") from error
    record = (Model.load(str(folder)).metadata or {}).get(_FEATURES)
    if record is None:
        raise BadInput(f"model `{model_id}` does not say which feature service it was trained on")
    contract = FeatureContract(**{**record, "columns": tuple(record["columns"])})
    return FeatureModel(mlflow.sklearn.load_model(str(folder)), contract)


def _dataset(contract: FeatureContract, frame: pd.DataFrame, training: Training) -> DatasetInput:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    about = {
        "feast.service": contract.service,
        "feast.version": contract.version,
        "qaemb.answerer": contract.answerer,
        "qaemb.answerer_key": contract.answerer_key,
    }
    dataset = from_pandas(
        frame.assign(**{training.target_name: list(training.target)}),
        source=CodeDatasetSource(tags=about),
        targets=training.target_name,
        name=contract.service,
    ).to_dict()
    tags = clean_tags({MLFLOW_DATASET_CONTEXT: "training", **about, **training.tags})
    return DatasetInput(Dataset(**dataset), [InputTag(key, value) for key, value in tags.items()])


def _listed(names: Sequence[str]) -> str:
    return listed(f"`{name}`" for name in names) or "none"
