"""Commands about students: train one, list them, adopt one for answering."""

from __future__ import annotations

from typing import Annotated

import typer

from qaemb.cli.app import app, load, students_app


@app.command()
def distill(student: Annotated[str, typer.Option(help="a name in params.yaml: distill.students")]) -> None:
    """Train a student on a teacher's answers, grade it, log it as an MLflow model (stage `distill`)."""
    from qaemb.stages.distill import distill as stage

    stage(*load(), student)


@students_app.command("list")
def students_list() -> None:
    """List the trained students: those of the package, adopted ones, and what `distill` made."""
    from qaemb.stages.students import list_students

    list_students(load()[1])


@students_app.command("adopt")
def students_adopt(
    name: Annotated[str, typer.Argument(help="a student that `distill` made")],
    replace: Annotated[bool, typer.Option(help="overwrite another student of this name")] = False,
) -> None:
    """Copy a student to data/students, where git versions it and answers can name it."""
    from qaemb.stages.students import adopt_student

    folder = adopt_student(load()[1], name, replace=replace)
    print(f"adopted as {folder}; name it in answers.spec (`student: {folder}`), and commit it to keep it")
