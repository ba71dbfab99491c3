"""Stage `questions`: the bank, checked, as tables."""

from __future__ import annotations

from qaemb.questions import load_bank, load_sets, screen, write_tables
from qaemb.settings import Settings
from qaemb.workspace import Workspace


def questions(settings: Settings, workspace: Workspace) -> None:
    """Read the bank and its sets, refuse bad questions, and write the tables that the other stages read.

    BadInput for a bank or set that can't be used; then the tables of an earlier run stay as they are.
    """
    source = workspace.root / settings.questions.bank
    accepted, rejected = screen(load_bank(source / "bank"), settings.questions.duplicate_similarity)
    sets = load_sets(source / "sets", accepted, rejected)
    write_tables(workspace.questions, accepted, sets, rejected)
    sizes = ", ".join(f"{question_set.name} {len(question_set.questions)}" for question_set in sets)
    print(f"questions: {len(accepted)} accepted, {len(rejected)} rejected; sets: {sizes}")
