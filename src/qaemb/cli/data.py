"""Commands that make data: `miniature`, `dataset`, `segments`, `questions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qaemb.cli.app import app, dataset_app, load, questions_app


@app.command()
def miniature() -> None:
    """Generate the default data set in the layout of ds003020 (stage `miniature`)."""
    from qaemb.stages.inputs import miniature as stage

    stage(*load())


@dataset_app.callback(invoke_without_command=True)
def dataset(context: typer.Context) -> None:
    """Read stories and responses into tables (stage `dataset`)."""
    if context.invoked_subcommand is None:
        from qaemb.stages.inputs import dataset as stage

        stage(*load())


@dataset_app.command("check")
def _dataset_check(
    path: Annotated[Path, typer.Argument(help="the folder of a data set")],
    adapter: Annotated[str, typer.Option(help="an adapter, as in dataset.adapter, or auto")] = "auto",
    problems: Annotated[bool, typer.Option("--problems", help="print warnings and errors only")] = False,
) -> None:
    """Say, file by file, what is missing, wrong or suspicious in a folder; exits with 1 if there are errors."""
    from qaemb.stages.check import check_dataset

    if not check_dataset(path, adapter, problems):
        raise typer.Exit(1)


@app.command()
def segments(segmentation: Annotated[str, typer.Option(help="a name in params.yaml: segments")]) -> None:
    """Cut the stories into segments (stage `segments`)."""
    from qaemb.stages.inputs import segments as stage

    stage(*load(), segmentation)


@questions_app.callback(invoke_without_command=True)
def questions(context: typer.Context) -> None:
    """Check the question bank and its sets (stage `questions`)."""
    if context.invoked_subcommand is None:
        from qaemb.stages.inputs import questions as stage

        stage(*load())


@questions_app.command("adopt")
def _questions_adopt(
    selected: Annotated[
        Path, typer.Argument(help="a set that `select` wrote, for example data/selected/qa_student.yaml")
    ],
    replace: Annotated[bool, typer.Option(help="overwrite a different set of the same name")] = False,
) -> None:
    """Copy a selected set into the bank's sets, where git versions it and every stage can name it."""
    from qaemb.questions import adopt

    settings, _ = load()
    print(f"adopted as {adopt(selected, settings.questions.bank / 'sets', replace=replace)}; commit it to keep it")
