"""`make bench-student`: students of GPT-4 on lebel_pcs; writes benchmarks/results/student.json and docs/students.md.

Needs the data: environment variable QAEMB_LEBEL_PCS names its folder. Every choice is made on train stories; the two
test stories are looked at for the figures alone.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.record import write_result
from benchmarks.student import cascade, encoding, quality, speed, table
from benchmarks.student.margins import answer_all, publish
from benchmarks.student.pcs import MPNET, make_inputs, prepare
from qaemb.stages.answers import answers
from qaemb.stages.distill import distill
from qaemb.stages.model import model
from qaemb.stages.validate import validate

HIDDEN = 768
_TEACHER = {"kind": "both", "published": "gpt4", "segmentations": ["tr_marked"], "input": "data/work/dataset"}
STUDENTS = {"minilm": "minilm", "mpnet": "mpnet"}


def main() -> None:
    """Train, grade, fit and measure; see the modules of this package for each part."""
    start = time.perf_counter()
    students = {name: _TEACHER | {"model": own, "hidden": HIDDEN} for name, own in STUDENTS.items()}
    changes = {
        "model": {"mpnet": MPNET},
        "distill": {"students": students},
        "features": {"spaces": encoding.spaces()},
        "encode": {"spaces": encoding.MODELS, "banded": encoding.BANDED, "n_band_candidates": 4},
    }
    settings, workspace = prepare(changes)
    make_inputs(settings, workspace, ("minilm", "mpnet"))
    for name in STUDENTS:
        distill(settings, workspace, name)
    margins = answer_all(settings, workspace, STUDENTS)
    publish(margins, workspace)
    answers(settings, workspace, "zeroshot_tr")
    validate(settings, workspace, "zeroshot_tr")
    figures: dict[str, Any] = {
        "seen_questions": quality.seen(margins),
        "unseen_questions": quality.unseen(settings, workspace, margins, list(STUDENTS.values())),
        "what_noise_allows": quality.noise(margins),
        "cascade_before_gpt4": cascade.cascades(margins, "both", settings.distill.students["minilm"].held_out_share, 0),
        "encoding": encoding.fit_all(settings, workspace),
    }
    model(settings, workspace, "smollm2")
    figures["speed"] = speed.speeds(settings, workspace, margins.cells.texts)
    from benchmarks.student import efficiency

    figures["label_efficiency"] = efficiency.run()
    figures["seconds"] = round(time.perf_counter() - start, 1)
    about = {"profile": "lebel_pcs", "protocol": settings.encode.protocol, "hidden": HIDDEN, "students": STUDENTS}
    path = write_result("student", _headline(figures), about, figures)
    table.write(figures)
    print(f"wrote {path} in {figures['seconds']:.0f} s: {_headline(figures)}")


def _headline(figures: dict[str, Any]) -> dict[str, float]:
    scores = {name: own["uts03"]["mean_r"] for name, own in figures["encoding"]["scores"].items()}
    at_95 = figures["cascade_before_gpt4"]["0.95"]
    strongest = max(scores["minilm"], scores["mpnet"])
    return {
        "seen_auc": figures["seen_questions"]["both"]["auc"],
        "unseen_auc": figures["unseen_questions"]["both"]["mean"],
        "uts03_student_r": round(scores["student"], 4),
        "uts03_student_adds": round(scores["student+mpnet"] - strongest, 4),
        "cascade_agreement": at_95["test_agreement"],
        "cascade_calls_saved": at_95["test_calls_saved"],
        "student_over_llm_speed": figures["speed"]["student_over_llm"]["student"],
    }


if __name__ == "__main__":
    main()
