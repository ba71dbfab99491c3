"""Runs in an MLflow database under `mlruns/`, which may move with the project's folder.

A stage logs a parent run, and a child run per result.

MLflow's database holds absolute file URIs: it makes a relative artifact location absolute when an experiment is
created, and the relative `mlflow-artifacts:` scheme needs a running server even for a stage that only logs. So the
stored URIs are corrected when a database is opened in another folder than the one it was written in.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.files import plain_os_errors, write_text
from qaemb.identity import json_id
from qaemb.tracking.feature_model import FeatureModel, Training, load_feature_model, log_feature_model
from qaemb.tracking.record import RunRecord, clean_key, clean_metrics, clean_params, clean_tags
from qaemb.tracking.student_model import ModelVersionRef, StudentModel, log_model

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

# Where MLflow 3.17 keeps the place of an artifact.
_COLUMNS = [
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
]
_MARK = "/artifacts/"  # MLRUNS/artifacts/EXPERIMENT, as the tracker places them


def _follow_move(mlruns: Path) -> list[str]:
    """Point `MLRUNS/mlflow.db` at the folder it is in now; return the old places (empty: it has not moved)."""
    database = mlruns / "mlflow.db"
    if not database.exists():
        return []
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            return _correct(connection, mlruns.absolute())
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{database} is not a readable MLflow database ({error}); move it away and run again") from error


def _correct(connection: sqlite3.Connection, mlruns: Path) -> list[str]:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "experiments" not in tables:
        return []
    old = _old_places(connection, mlruns)
    for place in old:
        _replace(connection, tables, place + _MARK, mlruns.as_uri() + _MARK)
    return old


def _old_places(connection: sqlite3.Connection, mlruns: Path) -> list[str]:
    """Return URIs of the `mlruns` folders in the database that are not this one; other places are left alone."""
    rows = connection.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'")
    places = {location.rpartition(_MARK)[0] for (location,) in rows if _MARK in location}
    return sorted(place for place in places - {mlruns.as_uri()} if place.endswith(f"/{mlruns.name}"))


def _replace(connection: sqlite3.Connection, tables: set[str], old: str, new: str) -> None:
    for table, column in _COLUMNS:
        if table in tables:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )


_PARENT = "mlflow.parentRunId"  # the tag by which MLflow's UI nests runs
_KEY, _PARAMS = "qaemb.key", "qaemb.params"
_PER_BATCH = 100  # most parameters, and most tags, that MLflow takes in one call
_PAGE = 1000
_SHOW_PROGRESS_FROM = 50  # runs; fewer take under 2 s


class Tracker:
    """Writes runs to `MLRUNS/mlflow.db` and their files to `MLRUNS/artifacts/EXPERIMENT/`.

    Nothing is opened, and MLflow is not imported, before the first call. After the project's folder has moved, the
    first call corrects the absolute paths in MLflow's database.
    """

    def __init__(self, mlruns: Path) -> None:
        self.mlruns = Path(os.path.abspath(mlruns))
        self._opened: MlflowClient | None = None

    @property
    def uri(self) -> str:
        """The database as MLflow's tracking URI."""
        return f"sqlite:///{self.mlruns / 'mlflow.db'}"

    def ui_command(self, port: int = 5000) -> list[str]:
        """Return the command that serves MLflow's UI to this machine alone; artifacts of a moved folder are found."""
        _follow_move(self.mlruns)
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.uri]
        command += ["--artifacts-destination", str(self.mlruns / "artifacts")]
        return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]

    def parent_run(
        self, experiment: str, key: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Return the id of the run with this `key` and these parameters; a run is created if there is none.

        MLflow can't change a parameter, so other parameters under the same key create another parent beside the old
        one, whose children stay comparable. The tags of a run that exists are updated.
        """
        marks = {_KEY: key, _PARAMS: json_id(clean_params(params))}
        where = f"tags.`{_KEY}` = {_quoted(key)} and tags.`{_PARAMS}` = '{marks[_PARAMS]}'"
        runs = self._search(self._experiment(experiment), where)
        if runs:
            run_id = runs[0].info.run_id
            self._log_batches(run_id, {}, {}, clean_tags(tags))
            return run_id
        return self._create(experiment, RunRecord(name, params, {}, {**tags, **marks}), None)

    def log_run(self, experiment: str, record: RunRecord, parent_run_id: str | None = None) -> str:
        """Write one run and return its id; an older run of the same name under the same parent is marked deleted."""
        return self.log_runs(experiment, [record], parent_run_id)[0]

    def log_runs(self, experiment: str, records: Sequence[RunRecord], parent_run_id: str | None) -> list[str]:
        """Write runs and return their ids, in order; older runs of the same names under the same parent are deleted.

        The older runs go only after all new ones are written, so a failure on the way loses nothing.
        """
        before = self._siblings(experiment, parent_run_id)
        bar = tqdm(records, desc="MLflow runs", unit="run", disable=len(records) < _SHOW_PROGRESS_FROM, leave=False)
        run_ids = [self._create(experiment, record, parent_run_id) for record in bar]
        for record in records:
            for run_id in before.pop(record.name, []):
                self._client().delete_run(run_id)
        return run_ids

    def add(self, run_id: str, metrics: Mapping[str, float], files: Sequence[Path] = ()) -> None:
        """Add metrics and files to a run that exists."""
        self._log_batches(run_id, clean_metrics(metrics), {}, {})
        self._log_files(run_id, files)

    def log_model(self, run_id: str, student: StudentModel) -> ModelVersionRef:
        """Log a student under a run, register it as a version of `student-NAME`, and return that version.

        Load it with `mlflow.pyfunc.load_model`, after `mlflow.set_tracking_uri(tracker.uri)`.
        """
        return log_model(self._client(), run_id, student)

    def log_feature_model(self, run_id: str, name: str, model: FeatureModel, training: Training) -> str:
        """Log a model that was trained on served features and return its id."""
        return log_feature_model(self._client(), run_id, name, model, training)

    def load_feature_model(self, model_id: str) -> FeatureModel:
        """Return a model that `log_feature_model` logged; BadInput if there is none."""
        return load_feature_model(self._client(), model_id)

    def _client(self) -> MlflowClient:
        if self._opened is None:
            os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
            for noisy in ("alembic", "mlflow.store.db.utils"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            from mlflow.tracking import MlflowClient

            with plain_os_errors(self.mlruns):
                self.mlruns.mkdir(parents=True, exist_ok=True)
            if not (self.mlruns / ".gitignore").exists():
                write_text(self.mlruns / ".gitignore", "*\n!.gitignore\n")
            _follow_move(self.mlruns)
            self._opened = MlflowClient(tracking_uri=self.uri)
        return self._opened

    def _experiment(self, name: str) -> str:
        experiment = self._client().get_experiment_by_name(name)
        if experiment is None:
            folder = self.mlruns / "artifacts" / clean_key(name).replace("/", "_")
            return self._client().create_experiment(name, artifact_location=folder.as_uri())
        if experiment.lifecycle_stage == "deleted":  # by a user in the UI; MLflow refuses to reuse its name
            self._client().restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _create(self, experiment: str, record: RunRecord, parent_run_id: str | None) -> str:
        metrics, params, tags = clean_metrics(record.metrics), clean_params(record.params), clean_tags(record.tags)
        place = {_PARENT: parent_run_id} if parent_run_id else {}
        run = self._client().create_run(self._experiment(experiment), tags=tags | place, run_name=record.name)
        run_id = run.info.run_id
        try:
            self._log_batches(run_id, metrics, params, {})
            self._log_files(run_id, record.files)
        except BaseException:
            self._client().delete_run(run_id)
            raise
        self._client().set_terminated(run_id)
        return run_id

    def _log_batches(
        self, run_id: str, metrics: Mapping[str, float], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        all_metrics = [Metric(key, value, now, 0) for key, value in metrics.items()]
        all_params = [Param(key, value) for key, value in params.items()]
        all_tags = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, max(len(all_metrics), len(all_params), len(all_tags)), _PER_BATCH):
            part = slice(start, start + _PER_BATCH)
            self._client().log_batch(run_id, all_metrics[part], all_params[part], all_tags[part])

    def _log_files(self, run_id: str, files: Sequence[Path]) -> None:
        for file in files:
            if not file.is_file():
                raise BadInput(f"{file} does not exist, so it can't be kept with run {run_id}")
            with plain_os_errors(self.mlruns / "artifacts"):
                self._client().log_artifact(run_id, str(file))

    def _siblings(self, experiment: str, parent_run_id: str | None) -> dict[str, list[str]]:
        """Return name -> ids of the active runs under a parent, or, without one, of those that stand alone."""
        experiment_id = self._experiment(experiment)
        runs = self._search(experiment_id, f"tags.`{_PARENT}` = '{parent_run_id}'" if parent_run_id else "")
        by_name: dict[str, list[str]] = {}
        for run in runs:
            tags = run.data.tags
            if parent_run_id or (_PARENT not in tags and _KEY not in tags):
                by_name.setdefault(run.info.run_name, []).append(run.info.run_id)
        return by_name

    def _search(self, experiment_id: str, where: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client().search_runs([experiment_id], where, max_results=_PAGE, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs


def _quoted(text: str) -> str:
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"
