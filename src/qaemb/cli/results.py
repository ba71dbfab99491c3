"""Commands that serve and show what was found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from qaemb.cli.app import app, load
from qaemb.workspace import Workspace


@app.command()
def publish() -> None:
    """Put answers into the Feast feature store (stage `publish`)."""
    from qaemb.stages.publish import publish as stage

    stage(*load())


@app.command()
def downstream(task: Annotated[str, typer.Option(help="a task of params.yaml: downstream.tasks")]) -> None:
    """Evaluate an NLP task on answers, beside baselines (stage `downstream`)."""
    from qaemb.stages.downstream import downstream as stage

    stage(*load(), task)


@app.command()
def report() -> None:
    """Write reports/index.html (stage `report`)."""
    from qaemb.stages.report import report as stage

    stage(*load())


@app.command()
def summary() -> None:
    """Print the scores of the last run and where to look further."""
    from qaemb.stages.report import summary as command

    command(*load())


@app.command()
def ui(port: Annotated[int, typer.Option(help="port on 127.0.0.1")] = 5000) -> None:
    """Serve the MLflow UI to this machine (Ctrl-C ends it)."""
    from qaemb.tracking import Tracker

    command = Tracker(Workspace().mlruns).ui_command(port)
    print(f"MLflow on http://127.0.0.1:{port} (it takes some seconds to start)", flush=True)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.execv(command[0], command)


@app.command()
def use(profile: Annotated[str, typer.Argument(help="a file in data/profiles, without .yaml")]) -> None:
    """Switch the data set: write a profile's sections into params.yaml and say what changed."""
    from qaemb.profiles import use_profile

    for line in use_profile(Path("params.yaml"), Path("data/profiles"), profile):
        print(line)
