"""The command line: a thin command for every stage, and a few that look things up. Errors become one plain message."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from qaemb.errors import QaembError
from qaemb.settings import Settings, load_settings
from qaemb.workspace import Workspace

app = typer.Typer(
    name="qaemb",
    help="Readable text features: an LLM's answers to yes/no questions. Run it from the project's root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dataset_app = typer.Typer(help="Read stories and responses (stage `dataset`); `check` looks at a folder beforehand.")
app.add_typer(dataset_app, name="dataset")
answers_app = typer.Typer(help="Answer a job's questions (stage `answers`); `plan` says beforehand what it takes.")
questions_app = typer.Typer(help="Check the question bank and its sets (stage `questions`); `adopt` a selected set.")
app.add_typer(answers_app, name="answers")
app.add_typer(questions_app, name="questions")
prompts_app = typer.Typer(
    help="Look at the prompts: `list` what there is, `show` what a model sees.", no_args_is_help=True
)
app.add_typer(prompts_app, name="prompts")


def _load() -> tuple[Settings, Workspace]:
    return load_settings(), Workspace()


@app.command()
def miniature() -> None:
    """Generate the default data set in the layout of ds003020 (stage `miniature`)."""
    from qaemb.stages.miniature import miniature as stage

    stage(*_load())


@dataset_app.callback(invoke_without_command=True)
def dataset(context: typer.Context) -> None:
    """Read stories and responses into tables (stage `dataset`)."""
    if context.invoked_subcommand is None:
        from qaemb.stages.dataset import dataset as stage

        stage(*_load())


@dataset_app.command("check")
def dataset_check(
    path: Annotated[Path, typer.Argument(help="the folder of a data set")],
    adapter: Annotated[str, typer.Option(help="ds003020, lebel_pcs, folder, bids, or auto")] = "auto",
    problems: Annotated[bool, typer.Option("--problems", help="print warnings and errors only")] = False,
) -> None:
    """Say, file by file, what is missing, wrong or suspicious in a folder; exits with 1 if there are errors."""
    from qaemb.stages.check import check_dataset

    if not check_dataset(path, adapter, problems):
        raise typer.Exit(1)


@app.command()
def segments(segmentation: Annotated[str, typer.Option(help="a name in params.yaml: segments")]) -> None:
    """Cut the stories into segments (stage `segments`)."""
    from qaemb.stages.segments import segments as stage

    stage(*_load(), segmentation)


@questions_app.callback(invoke_without_command=True)
def questions(context: typer.Context) -> None:
    """Check the question bank and its sets (stage `questions`)."""
    if context.invoked_subcommand is None:
        from qaemb.stages.questions import questions as stage

        stage(*_load())


@questions_app.command("adopt")
def questions_adopt(
    selected: Annotated[
        Path, typer.Argument(help="a set that `select` wrote, for example data/selected/qa_student.yaml")
    ],
    replace: Annotated[bool, typer.Option(help="overwrite a different set of the same name")] = False,
) -> None:
    """Copy a selected set into the bank's sets, where git versions it and every stage can name it."""
    from qaemb.questions import adopt

    settings, _ = _load()
    print(f"adopted as {adopt(selected, settings.questions.bank / 'sets', replace=replace)}; commit it to keep it")


@app.command()
def model(model: Annotated[str, typer.Option(help="a name in params.yaml: model")]) -> None:
    """Turn a model's weights into a local folder with a digest (stage `model`)."""
    from qaemb.stages.model import model as stage

    stage(*_load(), model)


@app.command()
def answerers() -> None:
    """Work out the key of every job's answerer (stage `answerers`)."""
    from qaemb.stages.answerers import answerers as stage

    stage(*_load())


@answers_app.callback(invoke_without_command=True)
def answers(
    context: typer.Context, job: Annotated[str | None, typer.Option(help="a name in params.yaml: answers.jobs")] = None
) -> None:
    """Answer what the store lacks, then write the job's matrix (stage `answers`)."""
    if context.invoked_subcommand is None:
        if job is None:
            raise typer.BadParameter("name a job of params.yaml: answers.jobs", param_hint="--job")
        from qaemb.stages.answers import answers as stage

        stage(*_load(), job)


@answers_app.command("plan")
def answers_plan(job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")]) -> None:
    """Say how many cells a job wants, how many the store has, and what the rest takes. Answers nothing."""
    from qaemb.stages.answers import plan_job

    plan_job(*_load(), job)


@prompts_app.command("list")
def prompts_list() -> None:
    """List the prompts of the package: order, form, few-shot turns, what each is."""
    from qaemb.stages.prompts import list_prompts

    list_prompts()


@prompts_app.command("show")
def prompts_show(
    name: Annotated[str, typer.Argument(help="a name of `qaemb prompts list`, or a path with a slash in it")],
    answerer: Annotated[str, typer.Option(help="a name in params.yaml: answers.spec; its model is taken")],
    text: Annotated[str, typer.Option(help="what is asked about")] = "We walked down to the lake and skipped stones.",
    question: Annotated[str, typer.Option(help="what is asked")] = "Does the text mention water?",
    texts: Annotated[int, typer.Option(min=1, help="texts of the grid whose cost is printed")] = 1000,
    questions: Annotated[int, typer.Option(min=1, help="questions of that grid")] = 32,
) -> None:
    """Print exactly what a model sees of a prompt, its label tokens, and what a grid costs. Answers nothing."""
    from qaemb.stages.prompts import Sample, show_prompt

    show_prompt(*_load(), name, answerer, Sample(text, question, texts, questions))


@answers_app.command("evaluate")
def answers_evaluate(  # noqa: PLR0913, PLR0917 - every option is a parameter
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
    evaluate(*_load(), asked)


@app.command()
def validate(job: Annotated[str, typer.Option(help="a name in params.yaml: answers.jobs")]) -> None:
    """Check an answer matrix with Great Expectations and grade it against gold (stage `validate`)."""
    from qaemb.stages.validate import validate as stage

    stage(*_load(), job)


@app.command()
def features(
    texts: Annotated[list[str] | None, typer.Argument(help="texts to look up (or answer) in the feature store")] = None,
    question_set: Annotated[str, typer.Option("--set", help="a published question set")] = "core",
    space: Annotated[str | None, typer.Option(help="run the stage `features` for this space of params.yaml")] = None,
) -> None:
    """Print the named features of texts from the feature store; with --space, the stage `features`."""
    if (space is None) == (not texts):
        raise typer.BadParameter('give texts (`qaemb features "some text" --set core`) or a space (`--space NAME`)')
    if space is not None:
        from qaemb.stages.features import features as stage

        stage(*_load(), space)
    else:
        from qaemb.stages.publish import show_features

        show_features(*_load(), list(texts or []), question_set)


@app.command()
def designs() -> None:
    """Record which feature spaces each encoding model joins, by digest (stage `designs`)."""
    from qaemb.stages.designs import designs as stage

    stage(*_load())


@app.command()
def encode(name: Annotated[str, typer.Option(help="a name in params.yaml: encode.spaces")]) -> None:
    """Fit an encoding model for every subject and score it on the test stories (stage `encode`)."""
    from qaemb.stages.encode import encode as stage

    stage(*_load(), name)


@app.command()
def interpret(name: Annotated[str, typer.Option(help="a name in params.yaml: interpret.models")]) -> None:
    """Say which questions drive a fitted encoding model, what each adds, which say the same (stage `interpret`)."""
    from qaemb.stages.interpret import interpret as stage

    stage(*_load(), name)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="the model that you expect to be better, of params.yaml: encode.spaces")],
    b: Annotated[str, typer.Argument(help="the model that it is compared with")],
) -> None:
    """Compare two fitted encoding models on the same test rows: per voxel, per subject, over subjects."""
    from qaemb.stages.compare import compare as command

    command(*_load(), a, b)


@app.command()
def select(space: Annotated[str, typer.Option(help="a name in params.yaml: select.spaces")]) -> None:
    """Choose questions by a multi-task elastic net path (stage `select`)."""
    from qaemb.stages.select import select as stage

    stage(*_load(), space)


@app.command()
def publish() -> None:
    """Put answers into the Feast feature store (stage `publish`)."""
    from qaemb.stages.publish import publish as stage

    stage(*_load())


@app.command()
def report() -> None:
    """Write reports/index.html (stage `report`)."""
    from qaemb.stages.report import report as stage

    stage(*_load())


@app.command()
def summary() -> None:
    """Print the scores of the last run and where to look further."""
    from qaemb.stages.summary import summary as command

    command(*_load())


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


def main() -> None:
    """Run the command line; an expected failure prints its message and exits with 1."""
    try:
        app()
    except QaembError as error:
        print(f"qaemb: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("qaemb: interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        sys.exit(130)
