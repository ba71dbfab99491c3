"""Grades of a student against its teacher, per question, on stories that it was not trained on; and its card.

The card says, as Markdown, what the student was taught, by whom, on what, how far it may be trusted, and what the
licence of the teacher's answers leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb import stats as cal
from qaemb.answers.students import KnownQuestion, Student
from qaemb.distill.cells import TeacherCells

N_RESAMPLES = 1000
COLUMNS = ["question", "n", "yes_rate", "auc", "auc_low", "auc_high", "agreement", "kappa", "ece", "brier"]


def grade_student(margin: NDArray[np.float32], cells: TeacherCells, seed: int = 0) -> pd.DataFrame:
    """Return a row per question with COLUMNS, of margins (T, Q) against the teacher's cells.

    `auc` with a 95 % interval from resampled stories (cells of one story are not independent); `agreement`: share of
    cells in which both say the same, the student yes where its margin is above 0, and `kappa`: the same beyond chance;
    `ece` and `brier` of sigmoid(margin). NaN where a question has one kind of answer only, or none.
    """
    names = sorted(set(cells.groups))
    number = {name: place for place, name in enumerate(names)}
    story = np.array([number[group] for group in cells.groups])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), N_RESAMPLES).astype(np.float64)
    rows = []
    for column, question in enumerate(cells.questions):
        known = cells.known[:, column]
        margins = margin[known, column].astype(np.float64)
        truth = (cells.labels[known, column] > 0.5).astype(np.float64)
        rows.append({"question": question, **_grade(margins, truth, draws[:, story[known]])})
    return pd.DataFrame(rows, columns=COLUMNS)


def trusted(table: pd.DataFrame, least_auc: float) -> NDArray[np.bool_]:
    """Return for each row whether the lower end of its AUC is at least `least_auc`; not where it is NaN."""
    return (table["auc_low"] >= least_auc).to_numpy()


def least_similarity(
    auc: NDArray[np.float64], similarity: NDArray[np.float64], least_auc: float, least_questions: int = 10
) -> float | None:
    """Return how near a new question must be to a taught one to be trusted; None if no nearness is enough.

    From questions that were left out: the smallest similarity such that those at least as near have a mean AUC whose
    lower bound (mean - 1.645 standard errors) is at least `least_auc`. At least `least_questions` of them must be left.
    """
    known = np.isfinite(auc)
    order = np.argsort(-similarity[known])
    values, near = auc[known][order], similarity[known][order]
    best = None
    for n in range(least_questions, len(values) + 1):
        first = values[:n]
        if first.mean() - 1.645 * first.std(ddof=1) / np.sqrt(n) >= least_auc:
            best = float(near[n - 1])
    return best


def question_aucs(margin: NDArray[np.floating], cells: TeacherCells) -> NDArray[np.float64]:
    """Return the AUC (Q,) of each question over its known cells; NaN where the teacher's answers are all alike.

    A label above 0.5 counts as yes. `margin` (T, Q) is of the same texts and questions.
    """
    return np.array(
        [
            cal.auc(margin[known, column].astype(np.float64), (cells.labels[known, column] > 0.5).astype(np.float64))
            if known.any()
            else np.nan
            for column, known in enumerate(cells.known.T)
        ]
    )


def _grade(margin: NDArray[np.float64], truth: NDArray[np.float64], counts: NDArray[np.float64]) -> dict[str, float]:
    if not len(truth):
        return {"n": 0}
    low, high = cal.interval(cal.resampled_auc(margin, truth, counts))
    return {
        "n": len(truth),
        "yes_rate": float(truth.mean()),
        "auc": cal.auc(margin, truth),
        "auc_low": low,
        "auc_high": high,
        "agreement": float(((margin > 0) == truth).mean()),
        "kappa": cal.kappa(margin > 0, truth == 1.0),
        "ece": cal.reliability(margin, truth).ece(),
        "brier": cal.brier(margin, truth),
    }


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
    return "\n".join([*lines, *_licence(about)])


_OPEN = {
    "gpt4": """\
Two things are open. The publisher of these answers (github.com/csinva/fmri) states no licence for them. They are
answers of GPT-4, and OpenAI's terms of use restrict what its output may be used for, such as to develop models that
compete with OpenAI's. Whether a small model that answers yes/no questions is one of these is not decided."""
}
_CERTAINTY = """\
If you need certainty, train a student from the answers of an LLM with a clear licence, by stage `distill`
(docs/students.md; params.yaml has one of SmolLM2, Apache-2.0). Or answer without any teacher, by the similarity of text
and question: an answerer of engine `student` without the key `student`."""


def _licence(about: Mapping[str, Any]) -> list[str]:
    """Return the card's section on the licence of the teacher's answers; nothing where the licence is clear."""
    stated = about.get("licence") != "not stated"
    if stated and about.get("teacher") not in _OPEN:
        return []
    unclear = _OPEN.get(str(about.get("teacher")), "The licence of the teacher's answers is not stated.")
    return ["## What the teacher's licence leaves open", "", *unclear.split("\n"), "", *_CERTAINTY.split("\n"), ""]


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
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
