"""Commands about models, prompts and answers: answering, the store, exchange, and drift against a reference version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from qaemb.cli.app import answers_app, app, drift_app, load, prompts_app


@app.command()
def model(model: Annotated[str, typer.Option(help="a name in params.yaml: model")]) -> None:
    """Turn a model's weights into a local folder with a digest (stage `model`)."""
    from qaemb.stages.inputs import model as stage

    stage(*load(), model)


@app.command()
def answerers() -> None:
    """Work out the key of every job's answerer (stage `answerers`)."""
    from qaemb.stages.answers import answerers as stage

    stage(*load())


@answers_app.callback(invoke_without_command=True)
def answers(
    context: typer.Context, job: Annotated[str | None, typer.Option(help="a name in params.yaml: answers.jobs")] = None
) -> None:
    """Answer what the store lacks, then write the job's matrix (stage `answers`)."""
    if context.invoked_subcommand is None:
        if job is None:
            raise typer.BadParameter("name a job of params.yaml: answers.jobs", param_hint="--job")
        from qaemb.stages.answers import answers as stage

        stage(*load(), job)


@answers_app.command("run")
def _answers_run(
    job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")],
    runner: Annotated[Literal["local", "ray"], typer.Option(help="this process, or a Ray cluster")] = "local",
) -> None:
    """Answer a job as `qaemb answers` does, in this process or on a Ray cluster (answers.ray; docs/scale.md)."""
    from qaemb.stages.answers import answers as stage

    stage(*load(), job, runner)


@answers_app.command("plan")
def _answers_plan(job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")]) -> None:
    """Say how many cells a job wants, how many the store has, and what the rest takes. Answers nothing."""
    from qaemb.stages.answers import plan_job

    plan_job(*load(), job)


@prompts_app.command("list")
def _prompts_list() -> None:
    """List the prompts of the package: order, form, few-shot turns, what each is."""
    from qaemb.stages.prompts import list_prompts

    list_prompts()


@prompts_app.command("show")
def _prompts_show(
    name: Annotated[str, typer.Argument(help="a name of `qaemb prompts list`, or a path with a slash in it")],
    answerer: Annotated[str, typer.Option(help="a name in params.yaml: answers.spec; its model is taken")],
    text: Annotated[str, typer.Option(help="what is asked about")] = "We walked down to the lake and skipped stones.",
    question: Annotated[str, typer.Option(help="what is asked")] = "Does the text mention water?",
    texts: Annotated[int, typer.Option(min=1, help="texts of the grid whose cost is printed")] = 1000,
    questions: Annotated[int, typer.Option(min=1, help="questions of that grid")] = 32,
) -> None:
    """Print exactly what a model sees of a prompt, its label tokens, and what a grid costs. Answers nothing."""
    from qaemb.stages.prompts import Sample, show_prompt

    show_prompt(*load(), name, answerer, Sample(text, question, texts, questions))


@answers_app.command("evaluate")
def _answers_evaluate(  # noqa: PLR0913, PLR0917 - every option is a parameter
    answerer: Annotated[list[str], typer.Option(help="a name in params.yaml: answers.spec; give it again for more")],
    gold: Annotated[str, typer.Option(help="`miniature`, or the path of a gold set")] = "miniature",
    format: Annotated[str, typer.Option(help="d3, boolq, ratings or auto (told from the path)")] = "auto",
    questions: Annotated[Path | None, typer.Option(help="d3: YAML with a question for each phrase")] = None,
    sample: Annotated[int | None, typer.Option(help="evaluate on this many texts, drawn at random")] = None,
    seed: Annotated[int, typer.Option(help="seed of the sample and of the bootstrap")] = 0,
    prompt: Annotated[
        list[str] | None, typer.Option(help="the answerer under this prompt; give it again to compare prompts")
    ] = None,
) -> None:
    """Say how right answerers are on texts with known answers, how well calibrated, how alike, how prompts matter."""
    from qaemb.stages.evaluate import Evaluation, evaluate

    asked = Evaluation(tuple(answerer), gold, format, questions, sample, seed, tuple(prompt or ()))
    evaluate(*load(), asked)


@app.command()
def cascade(  # noqa: PLR0913, PLR0917 - every option is a parameter
    name: Annotated[str, typer.Argument(help="a cascade of params.yaml: answers.spec")],
    segmentation: Annotated[str, typer.Option(help="a name in params.yaml: segments; its train texts are sampled")],
    question_set: Annotated[str, typer.Option("--set", help="the question set that it will answer")],
    texts: Annotated[int, typer.Option(min=1, help="texts that student and teacher both answer")],
    agreement: Annotated[float, typer.Option(help="share of cells answered as the teacher would, at least")] = 0.95,
    confidence: Annotated[float, typer.Option(help="of that")] = 0.95,
    seed: Annotated[int, typer.Option(help="seed of the sample")] = 0,
) -> None:
    """Choose where a cascade's student is sure enough, from texts that its teacher answers, too. Writes thresholds."""
    from qaemb.stages.cascade import CascadeRequest
    from qaemb.stages.cascade import cascade as command

    command(*load(), CascadeRequest(name, segmentation, question_set, texts, agreement, confidence, seed))


@app.command()
def validate(job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")]) -> None:
    """Check an answer matrix with Great Expectations and grade it against gold (stage `validate`)."""
    from qaemb.stages.validate import validate as stage

    stage(*load(), job)


@answers_app.command("status")
def _answers_status() -> None:
    """Say how many cells of each job the store has, and per story and question set which share."""
    from qaemb.stages.answer_store import status

    status(*load())


@answers_app.command("verify")
def _answers_verify() -> None:
    """Check every byte of the store; names each damaged file, and then exits with 1."""
    from qaemb.stages.answer_store import verify

    verify(*load())


@answers_app.command("repair")
def _answers_repair() -> None:
    """Set damaged files of the store aside, and answer their cells anew."""
    from qaemb.stages.answer_store import repair

    repair(*load())


@answers_app.command("gc")
def _answers_gc(
    yes: Annotated[bool, typer.Option("--yes", help="remove them; without it they are counted")] = False,
) -> None:
    """Count the files of the store that no current answerer, segment or question needs."""
    from qaemb.stages.answer_store import collect_garbage

    collect_garbage(*load(), yes=yes)


@answers_app.command("show")
def _answers_show(
    segment: Annotated[str, typer.Argument(help="a segment's id, the beginning of it, or its text")],
    question: Annotated[str | None, typer.Option(help="only this question: its name, id or text")] = None,
) -> None:
    """Print every answer about a segment: margin, mass, and by what, with what, when and in which block it was made."""
    from qaemb.stages.answer_exchange import show

    show(*load(), segment, question)


@answers_app.command("export")
def _answers_export(
    job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")],
    out: Annotated[Path, typer.Option(help="a folder that is not there yet")],
) -> None:
    """Write a job's answers and how each was made to a folder that travels."""
    from qaemb.stages.answer_exchange import export_job

    export_job(*load(), job, out)


@answers_app.command("import")
def _answers_import(
    folder: Annotated[Path, typer.Argument(help="what `qaemb answers export` wrote, here or elsewhere")],
    name: Annotated[str, typer.Option(help="it is copied to data/published/NAME")],
    replace: Annotated[bool, typer.Option("--replace", help="overwrite other answers of this name")] = False,
) -> None:
    """Check answers that were bought elsewhere and take them in, for engine `published`."""
    from qaemb.stages.answer_exchange import import_answers

    import_answers(*load(), folder, name, replace)


@drift_app.command("accept")
def _drift_accept(
    job: Annotated[str, typer.Argument(help="a name in params.yaml: answers.jobs; its matrix passed `validate`")],
    name: Annotated[str | None, typer.Option("--as", help="the reference's name; default: the job's")] = None,
    texts: Annotated[int, typer.Option(min=1, help="texts whose answers are kept, at most")] = 2000,
    words: Annotated[bool, typer.Option("--words/--no-words", help="keep the texts' words, too")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="overwrite a reference of another job")] = False,
) -> None:
    """Take a job's answers as they are now as the reference data/references/NAME."""
    from qaemb.stages.drift import ReferenceSpec, accept

    accept(*load(), job, ReferenceSpec(name or job, texts, words), replace)


@drift_app.command("show")
def _drift_show(
    job: Annotated[str, typer.Argument(help="a name in params.yaml: answers.jobs")],
    against: Annotated[str, typer.Option(help="a folder of data/references")],
) -> None:
    """Print which questions moved since a reference, which way, how far, and on which texts. Approves nothing."""
    from qaemb.stages.drift import show

    show(*load(), job, against)
