"""The tables of docs/students.md, written from the benchmark's figures."""

from __future__ import annotations

from typing import Any

from benchmarks.student.encoding import SUBJECTS
from benchmarks.student.pcs import ROOT
from qaemb.files import write_text

DOCS = ROOT / "docs" / "students.md"
_BEGIN, _END = "<!-- student: begin -->", "<!-- student: end -->"
_NAMES = {
    "minilm": "on MiniLM",
    "mpnet": "on mpnet",
    "both": "the two as an ensemble",
    "minilm similarity alone": "similarity on MiniLM, no training",
    "mpnet similarity alone": "similarity on mpnet, no training",
}
_MODELS = {
    "word_rate": "words and letters per TR",
    "minilm": "MiniLM: a black box",
    "mpnet": "mpnet: a black box",
    "minilm+mpnet": "MiniLM, mpnet: both black boxes",
    "gpt4": "GPT-4's answers to 86 questions: the teacher",
    "student_minilm": "student's answers to the 86 questions, on MiniLM",
    "student_mpnet": "student's answers, on mpnet",
    "student": "students' answers, the two as an ensemble",
    "student+mpnet": "students' answers, mpnet, a penalty each",
    "student+mpnet_plain": "students' answers, mpnet",
}
_DIFFERENCES = (
    ("student", "gpt4"),
    ("student", "mpnet"),
    ("student+mpnet", "mpnet"),
    ("student+mpnet_plain", "mpnet"),
    ("student+mpnet", "minilm+mpnet"),
)


def write(figures: dict[str, Any]) -> None:
    """Put the tables between their marks in docs/students.md."""
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    parts = [_seen(figures), _unseen(figures), _encoding(figures), _differences(figures), _cascade(figures)]
    write_text(DOCS, f"{before}{_BEGIN}\n" + "\n\n".join(parts) + f"\n{_END}{after}")


def _seen(figures: dict[str, Any]) -> str:
    rows = [
        f"| {_NAMES[name]} | {own['auc']:.3f} | {own['auc_lowest_question']:.3f} | {own['agreement']:.3f} | "
        f"{own['kappa']:.3f} | {own['ece']:.3f} |"
        for name, own in figures["seen_questions"].items()
    ]
    noise = figures["what_noise_allows"]["neighbouring_labels_auc"]
    head = "| 86 taught questions, test stories | mean AUC | lowest | agreement | kappa | calibration error |"
    last = f"| GPT-4's own labels of the TR before and the TR after | {noise:.3f} | | | | |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows, last])


def _unseen(figures: dict[str, Any]) -> str:
    rows = [
        f"| {_NAMES[name]} | {own['mean']:.3f} | {own['sd']:.3f} |" for name, own in figures["unseen_questions"].items()
    ]
    head = "| 26 questions never seen, test stories | mean AUC | sd over five splits |"
    return "\n".join([head, "|---|---|---|", *rows])


def _encoding(figures: dict[str, Any]) -> str:
    rows = [
        f"| {_MODELS[name]} | "
        + " | ".join(f"{own[s]['mean_r']:.3f} ({own[s]['r_low']:.3f} to {own[s]['r_high']:.3f})" for s in SUBJECTS)
        + " |"
        for name, own in figures["encoding"]["scores"].items()
    ]
    return "\n".join(["| features | uts03 | uts01 |", "|---|---|---|", *rows])


def _differences(figures: dict[str, Any]) -> str:
    found = {(row["model"], row["baseline"], row["subject"]): row for row in figures["encoding"]["differences"]}
    rows = []
    for model, baseline in _DIFFERENCES:
        cells = [found[model, baseline, subject] for subject in SUBJECTS]
        said = [f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})" for row in cells]
        rows.append(f"| {_MODELS[model]} - {_MODELS[baseline].split(':')[0]} | " + " | ".join(said) + " |")
    return "\n".join(["| difference of mean r | uts03 | uts01 |", "|---|---|---|", *rows])


def _cascade(figures: dict[str, Any]) -> str:
    found = figures["cascade_before_gpt4"]
    rows = [
        f"| {target}{' (chosen)' if target == found['chosen_target'] else ''} | {own['lowest_left_out_story']:.3f} | "
        f"{own['test']['agreement']:.3f} | {own['test']['agreement_of_the_students_own']:.3f} | "
        f"{own['test']['yes_kept']:.3f} | {own['test']['calls_saved']:.1%} |"
        for target, own in found["targets"].items()
    ]
    columns = ("cascade, target", "lowest left-out train story", "test stories", "student's own cells", "yes kept")
    head = f"| {' | '.join(columns)} | calls saved |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])
