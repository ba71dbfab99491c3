"""What fine-tuning the encoder brings over heads on the frozen one: `python -m benchmarks.student.tune`.

MiniLM, 86 questions, marked TRs of lebel_pcs; three epochs, on one core about 18 minutes. Needs QAEMB_LEBEL_PCS.
"""

from __future__ import annotations

import torch

from benchmarks.record import write_result
from benchmarks.student.pcs import make_inputs, prepare
from qaemb.files import read_json
from qaemb.settings import Settings
from qaemb.stages.distill import distill
from qaemb.workspace import Workspace

NAME = "tuned"
STUDENT = {
    "kind": "heads",
    "model": "minilm",
    "published": "gpt4",
    "segmentations": ["tr_marked"],
    "input": "data/work/dataset",
    "finetune": {},
}


def main() -> None:
    """Train, grade, and write the result."""
    torch.set_num_threads(1)
    settings, workspace = prepare({"distill": {"students": {NAME: STUDENT}}})
    make_inputs(settings, workspace)
    distill(settings, workspace, NAME)
    record(settings, workspace)


def record(settings: Settings, workspace: Workspace) -> None:
    """Write benchmarks/results/student_finetune.json from what `distill` left."""
    figures = read_json(workspace.metrics("distill", NAME))
    curve = read_json(workspace.run_figures("distill", NAME))["curve"]
    names = ("held_out_auc", "test_auc", "frozen_held_out_auc", "frozen_test_auc")
    headline = {name: figures["context"][name] for name in names}
    own = settings.distill.students[NAME].model_dump(mode="json")
    print(write_result("student_finetune", headline, own, {"metrics": figures, "curve": curve}))


if __name__ == "__main__":
    main()
