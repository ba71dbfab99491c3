"""The command groups, and the settings that commands work with."""

from __future__ import annotations

import sys

import typer

from qaemb.errors import require_modules
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
students_app = typer.Typer(help="Trained students: `list` them, `adopt` one that `distill` made.", no_args_is_help=True)
app.add_typer(students_app, name="students")
drift_app = typer.Typer(
    help="Compare answers with a reference version: `accept` one, `show` what moved since.", no_args_is_help=True
)
app.add_typer(drift_app, name="drift")

# The packages of extra `pipeline` that a command certainly imports: it says so at once, not after half of its work.
_NEEDS = {
    "miniature": ("h5py", "nilearn"),
    "dataset": ("h5py",),
    "validate": ("great_expectations",),
    "encode": ("h5py", "mlflow", "matplotlib"),
    "interpret": ("h5py", "mlflow", "matplotlib"),
    "compare": ("h5py",),
    "select": ("h5py", "mlflow", "matplotlib"),
    "distill": ("mlflow",),
    "downstream": ("mlflow",),
    "publish": ("feast",),
    "report": ("h5py", "matplotlib"),
    "ui": ("mlflow",),
    "use": ("ruamel",),
}


@app.callback()
def _check_extras(context: typer.Context) -> None:
    if "--help" not in sys.argv:
        require_modules(_NEEDS.get(context.invoked_subcommand or "", ()))


def load() -> tuple[Settings, Workspace]:
    """Return the settings and the workspace of the project in the working directory."""
    return load_settings(), Workspace()
