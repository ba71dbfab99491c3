"""Commands about drift: a version of a job's answers as reference, and what moved since."""

from __future__ import annotations

from typing import Annotated

import typer

from qaemb.cli.app import drift_app, load


@drift_app.command("accept")
def drift_accept(
    job: Annotated[str, typer.Argument(help="a name in params.yaml: answers.jobs; its matrix passed `validate`")],
    name: Annotated[str | None, typer.Option("--as", help="the reference's name; default: the job's")] = None,
    texts: Annotated[int, typer.Option(min=1, help="texts whose answers are kept, at most")] = 2000,
    words: Annotated[bool, typer.Option("--words/--no-words", help="keep the texts' words, too")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="overwrite a reference of another job")] = False,
) -> None:
    """Take a job's answers as they are now as the reference data/references/NAME."""
    from qaemb.stages.drift import Kept, accept

    accept(*load(), job, Kept(name or job, texts, words), replace)


@drift_app.command("show")
def drift_show(
    job: Annotated[str, typer.Argument(help="a name in params.yaml: answers.jobs")],
    against: Annotated[str, typer.Option(help="a folder of data/references")],
) -> None:
    """Print which questions moved since a reference, which way, how far, and on which texts. Approves nothing."""
    from qaemb.stages.drift import show

    show(*load(), job, against)
