"""A student's card: what it was taught, by whom, on what, and how far it may be trusted, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qaemb.answers.students import KnownQuestion, Student

_FORMS = {"plain": "texts as they are", "context": "segments marked in their context"}


def card(student: Student, test: Mapping[str, pd.DataFrame]) -> str:
    """Return the text of CARD.md; `test`: per form of reading the grades on the test stories."""
    about = student.about
    tuned = " with the adapter in `adapter/`" if student.adapter else ""
    wheel = f" ({student.encoder['package']} {student.encoder['version']})" if student.encoder.get("package") else ""
    lines = [
        f"# Student `{student.name}`",
        "",
        f"Answers yes/no questions about a text as {about['teacher']} does, in one pass of",
        f"{student.encoder['name']}{wheel}{tuned} for all questions.",
        "It approximates its teacher; it is not the teacher.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {_text(value)} |" for key, value in about.items()),
        f"| taught questions | {len(student.questions)}, trusted {sum(q.trusted for q in student.questions)} |",
        f"| other questions | {_others(student)} |",
        f"| digest | {student.digest} |",
        "",
    ]
    if test:
        lines += ["Against the teacher on test stories, which had no part in training or in any choice:", ""]
        lines += ["| reads | cells | mean AUC | agreement | calibration error |", "|---|---|---|---|---|"]
        lines += [_row(name, table) for name, table in test.items()]
        lines.append("")
    if student.questions:
        lines += [
            "Per question, on held-out train stories, in the form of reading that does worse. The student abstains",
            f"where the lower end of the AUC's 95 % interval is below {student.trust.least_auc}.",
            "",
            "| question | AUC | agreement | calibration error | teacher says yes | |",
            "|---|---|---|---|---|---|",
            *map(_question, student.questions),
            "",
        ]
    return "\n".join(lines)


def _question(q: KnownQuestion) -> str:
    interval = f"{_number(q.auc_low)} to {_number(q.auc_high)}"
    numbers = " | ".join(map(_number, (q.agreement, q.ece, q.yes_rate)))
    return f"| {q.text} | {_number(q.auc)} ({interval}) | {numbers} | {'' if q.trusted else 'abstains'} |"


def _others(student: Student) -> str:
    if not any(reader.conditioned for reader in student.readers):
        return "none"
    least = student.trust.least_similarity
    if least is None:
        return "scored, but never trusted"
    return f"scored; trusted where the nearest taught question has a cosine of {least:.2f} or more"


def _row(name: str, table: pd.DataFrame) -> str:
    means = (table[column].mean() for column in ("auc", "agreement", "ece"))
    return f"| {_FORMS[name]} | {int(table['n'].sum()):,} | " + " | ".join(f"{value:.3f}" for value in means) + " |"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(own)}" for key, own in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
