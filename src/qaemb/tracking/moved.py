"""What keeps files of runs reachable after the project's folder has moved.

MLflow's database holds absolute file URIs: it makes a relative artifact location absolute when an experiment is
created, and the relative `mlflow-artifacts:` scheme needs a running server even for a stage that only logs. So the
stored URIs are corrected when a database is opened in a folder other than the one it was written in.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from qaemb.errors import BadInput

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


def follow_move(mlruns: Path) -> list[str]:
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
