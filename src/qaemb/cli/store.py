"""Commands about bought answers: what the store has, whether it is sound, and how answers travel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qaemb.cli.app import answers_app, load


@answers_app.command("status")
def answers_status() -> None:
    """Say how many cells of each job the store has, and per story and question set which share."""
    from qaemb.stages.store import status

    status(*load())


@answers_app.command("verify")
def answers_verify() -> None:
    """Check every byte of the store; names each damaged file, and then exits with 1."""
    from qaemb.stages.store import verify

    verify(*load())


@answers_app.command("repair")
def answers_repair() -> None:
    """Set damaged files of the store aside, and answer their cells anew."""
    from qaemb.stages.store import repair

    repair(*load())


@answers_app.command("gc")
def answers_gc(
    yes: Annotated[bool, typer.Option("--yes", help="remove them; without it they are counted")] = False,
) -> None:
    """Count the files of the store that no current answerer, segment or question needs."""
    from qaemb.stages.store import collect_garbage

    collect_garbage(*load(), yes=yes)


@answers_app.command("show")
def answers_show(
    segment: Annotated[str, typer.Argument(help="a segment's id, the beginning of it, or its text")],
    question: Annotated[str | None, typer.Option(help="only this question: its name, id or text")] = None,
) -> None:
    """Print every answer about a segment: margin, mass, and by what, with what, when and in which block it was made."""
    from qaemb.stages.provenance import show

    show(*load(), segment, question)


@answers_app.command("export")
def answers_export(
    job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")],
    out: Annotated[Path, typer.Option(help="a folder that is not there yet")],
) -> None:
    """Write a job's answers and how each was made to a folder that travels."""
    from qaemb.stages.exchange import export_job

    export_job(*load(), job, out)


@answers_app.command("import")
def answers_import(
    folder: Annotated[Path, typer.Argument(help="what `qaemb answers export` wrote, here or elsewhere")],
    name: Annotated[str, typer.Option(help="it is copied to data/published/NAME")],
    replace: Annotated[bool, typer.Option("--replace", help="overwrite other answers of this name")] = False,
) -> None:
    """Check answers that were bought elsewhere and take them in, for engine `published`."""
    from qaemb.stages.exchange import import_answers

    import_answers(*load(), folder, name, replace)
