"""`make bench-student`: students of GPT-4 on lebel_pcs; writes benchmarks/results/student.json and docs/students.md.

Needs the data: environment variable QAEMB_LEBEL_PCS names its folder. A run that was stopped goes on with --resume.
What the code chooses, it chooses on train stories. Its design is not blind to the test stories (docs/students.md).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.lebel_pcs import MPNET
from benchmarks.record import write_result
from benchmarks.student import cascade, encoding, quality, speed, table
from benchmarks.student.margins import answer_all, publish
from benchmarks.student.pcs import WORK, make_inputs, prepare
from qaemb.files import read_json, write_json
from qaemb.stages.distill import distill

HIDDEN = 768
_TEACHER = {"kind": "both", "published": "gpt4", "segmentations": ["tr_marked"], "input": "data/work/dataset"}
STUDENTS = {"minilm": "minilm", "mpnet": "mpnet"}


def main(resume: bool) -> None:
    """Train, grade, fit and measure; see the modules of this package for each part."""
    students = {name: _TEACHER | {"model": own, "hidden": HIDDEN} for name, own in STUDENTS.items()}
    changes = {
        "model": {"mpnet": MPNET},
        "distill": {"students": students},
        "features": {"spaces": encoding.spaces()},
        "encode": {"spaces": encoding.MODELS, "banded": encoding.BANDED, "n_band_candidates": 3},
    }
    settings, workspace = prepare(changes, resume)
    if not resume:
        make_inputs(settings, workspace, ("minilm", "mpnet"))
    for name in STUDENTS:
        if not (workspace.students / name / "student.json").exists():
            distill(settings, workspace, name)
    margins = answer_all(settings, workspace, STUDENTS)
    publish(margins, workspace)
    parts: dict[str, Callable[[], Any]] = {
        "seen_questions": lambda: quality.seen(margins),
        "unseen_questions": lambda: quality.unseen(settings, workspace, margins, list(STUDENTS.values())),
        "what_noise_allows": lambda: quality.noise(margins),
        "cascade_before_gpt4": lambda: cascade.cascades(settings, workspace, margins, HIDDEN),
        "speed": lambda: speed.speeds(settings, workspace, margins.cells.texts),
        "encoding": lambda: encoding.fit_all(settings, workspace),
    }
    figures = {name: _part(name, make) for name, make in parts.items()}
    about = {"profile": "lebel_pcs", "protocol": settings.encode.protocol, "hidden": HIDDEN, "students": STUDENTS}
    path = write_result("student", _headline(figures), about, figures)
    table.write(figures)
    print(f"wrote {path}: {_headline(figures)}")


def _part(name: str, make: Callable[[], Any]) -> Any:
    """Return a part's figures: those of the run that was stopped, where it had them, else made now and kept."""
    path = WORK / "parts" / f"{name}.json"
    if not path.exists():
        start = time.perf_counter()
        figures = make()
        write_json(path, {"figures": figures, "seconds": round(time.perf_counter() - start, 1)})
    return read_json(path)["figures"]


def _headline(figures: dict[str, Any]) -> dict[str, float]:
    scores = {name: own["uts03"]["mean_r"] for name, own in figures["encoding"]["scores"].items()}
    found = figures["cascade_before_gpt4"]
    cascaded = found["targets"][found["chosen_target"]]["test"]
    strongest = max(scores["minilm"], scores["mpnet"])
    return {
        "seen_auc": figures["seen_questions"]["both"]["auc"],
        "unseen_auc": figures["unseen_questions"]["both"]["mean"],
        "uts03_student_r": round(scores["student"], 4),
        "uts03_student_adds": round(scores["student+mpnet"] - strongest, 4),
        "cascade_agreement": cascaded["agreement"],
        "cascade_calls_saved": cascaded["calls_saved"],
        "student_over_llm_speed": figures["speed"]["student_over_llm"]["student_same_questions"],
    }


if __name__ == "__main__":
    main(resume="--resume" in sys.argv)
