"""Commands about features, the encoding models that are fitted on them, question sets, and students."""

from __future__ import annotations

from typing import Annotated

import typer

from qaemb.cli.app import app, load, students_app


@app.command()
def features(
    texts: Annotated[list[str] | None, typer.Argument(help="texts to look up (or answer) in the feature store")] = None,
    question_set: Annotated[str, typer.Option("--set", help="a published question set, or a version of one")] = "core",
    space: Annotated[str | None, typer.Option(help="run the stage `features` for this space of params.yaml")] = None,
    versions: Annotated[bool, typer.Option("--versions", help="list what was ever published")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="take the texts out of the feature store")] = False,
) -> None:
    """Print the named features of texts from the feature store; with --space, the stage `features`."""
    if [space is not None, versions, bool(texts)].count(True) != 1 or (forget and not texts):
        raise typer.BadParameter(
            'give texts (`qaemb features "some text" --set core`, or --forget), a space (`--space NAME`) or --versions'
        )
    if space is not None:
        from qaemb.stages.features import features as stage

        stage(*load(), space)
    elif versions:
        from qaemb.stages.publish import list_versions

        list_versions(load()[1])
    elif forget:
        from qaemb.stages.publish import forget_texts

        forget_texts(load()[1], list(texts or []))
    else:
        from qaemb.stages.publish import show_features

        show_features(*load(), list(texts or []), question_set)


@app.command()
def designs() -> None:
    """Record which feature spaces each encoding model joins, by digest (stage `designs`)."""
    from qaemb.stages.features import designs as stage

    stage(*load())


@app.command()
def encode(name: Annotated[str, typer.Option(help="a name in params.yaml: encode.spaces")]) -> None:
    """Fit an encoding model for every subject and score it on the test stories (stage `encode`)."""
    from qaemb.stages.encode import encode as stage

    stage(*load(), name)


@app.command()
def interpret(name: Annotated[str, typer.Option(help="a name in params.yaml: interpret.models")]) -> None:
    """Say which questions drive a fitted encoding model, what each adds, which say the same (stage `interpret`)."""
    from qaemb.stages.interpret import interpret as stage

    stage(*load(), name)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="the model that you expect to be better, of params.yaml: encode.spaces")],
    b: Annotated[str, typer.Argument(help="the model that it is compared with")],
) -> None:
    """Compare two fitted encoding models on the same test rows: per voxel, per subject, over subjects."""
    from qaemb.stages.compare import compare as command

    command(*load(), a, b)


@app.command()
def select(space: Annotated[str, typer.Option(help="a name in params.yaml: select.spaces")]) -> None:
    """Choose questions by a multi-task elastic net path (stage `select`)."""
    from qaemb.stages.select import select as stage

    stage(*load(), space)


@app.command()
def distill(student: Annotated[str, typer.Option(help="a name in params.yaml: distill.students")]) -> None:
    """Train a student on a teacher's answers, grade it, log it as an MLflow model (stage `distill`)."""
    from qaemb.stages.distill import distill as stage

    stage(*load(), student)


@students_app.command("list")
def _students_list() -> None:
    """List the trained students: those of the package, adopted ones, and what `distill` made."""
    from qaemb.stages.distill import list_students

    list_students(load()[1])


@students_app.command("adopt")
def _students_adopt(
    name: Annotated[str, typer.Argument(help="a student that `distill` made")],
    replace: Annotated[bool, typer.Option(help="overwrite another student of this name")] = False,
) -> None:
    """Copy a student to data/students, where git versions it and answers can name it."""
    from qaemb.stages.distill import adopt_student

    folder = adopt_student(load()[1], name, replace=replace)
    print(f"adopted as {folder}; name it in answers.spec (`student: {folder}`), and commit it to keep it")
