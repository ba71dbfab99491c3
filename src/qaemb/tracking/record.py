"""A run's names and values in the form that MLflow takes, and logging a saved model under a run, whole or not."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from qaemb.errors import BadInput
from qaemb.files import plain_os_errors

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model
    from mlflow.tracking import MlflowClient

_MAX_KEY = 250  # MLflow's own limit
_MAX_PARAM = 500  # MLflow takes 6,000, which the table of its UI can't show
_MAX_TAG = 8000
_NOT_ALLOWED = re.compile(r"[^\w\-. :/]")


@dataclass(frozen=True)
class RunRecord:
    """One run: its name (unique under its parent), parameters, metrics, tags, and files to keep with it."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def clean_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as text of at most 500 characters; a text that was cut ends with its full length."""
    return {key: _shorten(str(value), _MAX_PARAM) for key, value in _clean_keys(params).items()}


def clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as text of at most 8,000 characters."""
    return {key: _shorten(str(value), _MAX_TAG) for key, value in _clean_keys(tags).items()}


def clean_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the finite metrics as floats; NaN and infinity are left out, as MLflow's charts can't show them.

    What is not a number raises BadInput, which names the metric.
    """
    numbers = {}
    for key, value in _clean_keys(metrics).items():
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise BadInput(f"metric `{key}` is not a number: {value!r}; log it as a parameter or a tag") from error
        if math.isfinite(number):
            numbers[key] = number
    return numbers


def clean_key(key: str) -> str:
    """Return a name that MLflow takes: letters, digits and `_-. :/`; anything else becomes `_`.

    >>> clean_key("r.qa_student+word_rate")
    'r.qa_student_word_rate'
    """
    return _NOT_ALLOWED.sub("_", key)[:_MAX_KEY]


def _clean_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, value in values.items():
        if clean_key(key) in cleaned:
            raise BadInput(f"two names become `{clean_key(key)}` in MLflow, one is `{key}`; rename one of them")
        cleaned[clean_key(key)] = value
    return cleaned


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = f"... ({len(text)} characters)"
    return text[: limit - len(end)] + end


def log_saved_model(
    client: MlflowClient, run_id: str, saving: Model, saved: Path, kind: str, undo: ExitStack
) -> LoggedModel:
    """Log the model that was saved to a folder and return it; `undo` gets the call that deletes it again."""
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
    """Return the folder with a logged model's files."""
    return Path(url2pathname(urlparse(logged.artifact_location).path))


def _forget(client: MlflowClient, logged: LoggedModel) -> None:
    client.delete_logged_model(logged.model_id)
    shutil.rmtree(model_folder(logged).parent, ignore_errors=True)
