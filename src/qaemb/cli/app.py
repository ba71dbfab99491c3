"""The command groups, the order in which help shows them, and the settings that commands work with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from qaemb.errors import require_modules
from qaemb.settings import Settings, load_settings
from qaemb.workspace import Workspace

_PANELS = {
    "Every day": ("use", "summary", "features", "compare", "ui"),
    "Answers": ("answers", "validate", "prompts", "drift", "cascade", "model", "answerers"),
    "Data and questions": ("dataset", "questions", "segments", "miniature"),
    "Encoding models and question sets": ("encode", "interpret", "select", "designs"),
    "Students": ("students", "distill"),
    "Tasks, feature store, report": ("downstream", "publish", "report"),
}
_ANSWERS_PANELS = {
    "Answer": ("plan", "run"),
    "Look at answers": ("status", "show", "evaluate"),
    "Share answers": ("export", "import"),
    "Look after the store": ("verify", "repair", "gc"),
}


def _in_panels(panels: Mapping[str, Sequence[str]]) -> type[TyperGroup]:
    """Return a command group whose help shows its commands under the headings of `panels`, in their order."""

    class Group(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            order = [name for names in panels.values() for name in names]
            return sorted(
                super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order)
            )

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            command: Any = super().get_command(ctx, cmd_name)
            for panel, names in panels.items():
                if command is not None and cmd_name in names:
                    command.rich_help_panel = panel
            return command

    return Group


app = typer.Typer(
    name="qaemb",
    cls=_in_panels(_PANELS),
    help="Readable text features: an LLM's answers to yes/no questions. Run it from the project's root. "
    "`dvc repro` runs the stages in their order; each is a command of its own, too.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dataset_app = typer.Typer(help="Read stories and responses (stage `dataset`); `check` looks at a folder beforehand.")
app.add_typer(dataset_app, name="dataset")
answers_app = typer.Typer(
    cls=_in_panels(_ANSWERS_PANELS),
    help="Answer a job's questions (stage `answers`); `plan` says beforehand what it takes.",
)
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
