"""A language model that learns GPT-4's answers of lebel_pcs: `python -m benchmarks.student.lm OUT`.

Trains on train stories and 60 of the 86 questions, then answers all 86 on the two test stories with engine `shared`.
Killed, it goes on when started again. Needs the data: environment variable QAEMB_LEBEL_PCS names its folder, and the
base model: `qaemb model --model smollm2`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write_result
from benchmarks.student.splits import split_questions
from qaemb.answers import build_answerer
from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import question_aucs
from qaemb.distill.lm.training import LmResult, train_lm
from qaemb.settings import AnswererSettings, LmSettings

ROOT = Path(__file__).parents[2]
PROMPT = str(Path(__file__).with_name("short.yaml"))
N_UNSEEN = 26
# 6 layers, as they take twice as many cells per CPU minute as 12; which learns more from a minute is not known. An
# epoch of 0.16 is a quarter of an hour of one core.
CHOSEN: dict[str, Any] = {
    "n_layers": 6,
    "learning_rate": 2e-3,
    "balance": "sampling",
    "texts_per_batch": 8,
    "questions_per_text": 16,
    "epochs": 0.16,
    "evaluate_every": 100,
    "validation_texts": 60,
    "patience": 10,
}


def main() -> None:
    """Train, answer the test stories, write OUT/result.json and OUT/test_margins.npz."""
    arguments = _arguments()
    train, test = read_cells()
    seen, unseen = split_questions(len(train.questions), N_UNSEEN, seed=0)
    changes = json.loads(arguments.settings)
    run = {"prompt": PROMPT, "minutes": arguments.minutes, "threads": arguments.threads}
    settings = LmSettings(**{**CHOSEN, **run, **changes})
    result = train_lm(arguments.base, train.columns(seen), settings, arguments.out / "student")
    margins, seconds = _answer(result.model, test, arguments.threads)
    np.savez_compressed(arguments.out / "test_margins.npz", margin=margins, groups=np.array(test.groups))
    aucs = question_aucs(margins, test)
    headline = {
        "seen_auc": float(np.nanmean(aucs[seen])),
        "unseen_auc": float(np.nanmean(aucs[unseen])),
        "train_cells_per_s": result.figures["cells_per_s"],
        "train_tokens_per_s": result.figures["tokens_per_s"],
        "train_tokens_per_cpu_s": result.figures["tokens"] / result.figures["training_cpu_seconds"],
        "epoch_cpu_hours": _epoch_cpu_hours(result),
        "answer_cells_per_s": margins.size / seconds,
    }
    figures = {
        "training": result.figures,
        "curve": result.curve,
        "auc_per_question": aucs.tolist(),
        "seen": seen.tolist(),
        "unseen": unseen.tolist(),
        "answer_seconds": round(seconds, 1),
        "seen_auc_per_story": _per_story(margins, test, seen),
        "unseen_auc_per_story": _per_story(margins, test, unseen),
    }
    used = settings.model_dump(mode="json", exclude={"prompt"})
    print(write_result("result", headline, used, figures, arguments.out))


def read_cells() -> tuple[TeacherCells, TeacherCells]:
    """Return the teacher's cells of the train and of the test stories; a text is a TR with those before and after."""
    folder = os.environ.get("QAEMB_LEBEL_PCS")
    if not folder:
        sys.exit("set QAEMB_LEBEL_PCS to the folder of lebel_pcs (docs/datasets.md says how to get it)")
    stories = json.loads((Path(folder) / "texts.json").read_text(encoding="utf-8"))
    labels = np.load(Path(folder) / "gpt4_labels.npz")
    return _cells(stories, labels, "train"), _cells(stories, labels, "test")


def _cells(stories: dict[str, Any], labels: Any, split: str) -> TeacherCells:
    texts, groups, rows = [], [], []
    for story in sorted(name for name in stories if stories[name]["split"] == split):
        words = ["", *stories[story]["texts"], ""]
        for tr in range(len(words) - 2):
            text = " ".join(filter(None, words[tr : tr + 3]))
            if text.strip():
                texts.append(text)
                groups.append(story)
                rows.append(labels[story][tr])
    values = np.array(rows, np.float32)
    questions = [str(question) for question in labels["questions"]]
    return TeacherCells(texts, questions, values, np.ones(values.shape, bool), groups)


def _answer(model: Path, test: TeacherCells, threads: int | None) -> tuple[np.ndarray, float]:
    """Margins (texts, questions) as the pipeline gets them, and the seconds they took."""
    settings = AnswererSettings.model_validate(
        {"engine": "shared", "model": "student", "prompt": PROMPT, "threads": threads, "batch_tokens": 1024}
    )
    begin = time.perf_counter()
    answers = build_answerer("student", settings, model).answer(test.texts, test.questions)
    return answers.margin, time.perf_counter() - begin


def _per_story(margins: np.ndarray, test: TeacherCells, questions: np.ndarray) -> dict[str, float]:
    """Mean AUC over questions in each story alone."""
    found = {}
    for story in sorted(set(test.groups)):
        rows = np.flatnonzero([group == story for group in test.groups])
        aucs = question_aucs(margins[rows][:, questions], test.rows(rows).columns(questions))
        found[story] = float(np.nanmean(aucs))
    return found


def _epoch_cpu_hours(result: LmResult) -> float:
    """Hours of one core that one visit of every train text takes; two cores take half of them at best."""
    about = json.loads((result.model.parent / "training.json").read_text(encoding="utf-8"))
    per_text = result.figures["training_cpu_seconds"] / result.figures["texts"]
    return float(about["data"]["train_texts"] * per_text / 3600)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the student and result.json")
    parser.add_argument("--base", type=Path, default=ROOT / "data" / "work" / "models" / "smollm2")
    parser.add_argument("--minutes", type=float, default=240.0, help="training ends after so many, if not before")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--settings", default="{}", help='other settings of LmSettings, as JSON: {"rank": 8}')
    return parser.parse_args()


if __name__ == "__main__":
    main()
