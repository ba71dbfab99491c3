"""Files of a model under a run, as MLflow's logged model: there, or not there at all."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from qaemb.files import plain_os_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model
    from mlflow.tracking import MlflowClient


def log_saved_model(
    client: MlflowClient, run_id: str, saving: Model, saved: Path, kind: str, undo: ExitStack
) -> LoggedModel:
    """Log the model that was saved to a folder and return it; `undo` gets what takes it back."""
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, saving.artifact_path, run_id, model_type=kind)
    undo.callback(_forget, client, logged)
    saving.model_id = saving.model_uuid = logged.model_id
    saving.run_id = run_id
    saving.save(str(saved / "MLmodel"))
    with plain_os_errors(model_folder(logged).parent):
        client.log_model_artifacts(logged.model_id, str(saved))
    client.finalize_logged_model(logged.model_id, "READY")
    return logged


def model_folder(logged: LoggedModel) -> Path:
    """Return the folder with a logged model's files, in the tracker's own."""
    return Path(url2pathname(urlparse(logged.artifact_location).path))


def _forget(client: MlflowClient, logged: LoggedModel) -> None:
    client.delete_logged_model(logged.model_id)
    shutil.rmtree(model_folder(logged).parent, ignore_errors=True)
