"""The whole pipeline through DVC on published responses of two listeners."""

import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from .projects import copy_project, metrics, stages_run, succeed

PCS = os.environ.get("QAEMB_LEBEL_PCS")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

# Mean r over 200 components on the published files, uts03 and uts01, by plain ridge under protocol `reference`.
REFERENCE = {
    "word_rate": (0.078, 0.051),
    "bag_of_words": (0.127, 0.068),
    "embedding": (0.189, 0.107),
    "gpt4": (0.198, 0.108),
    "gpt4+word_rate": (0.202, 0.112),
    "gpt4+embedding": (0.219, 0.123),
}
CHOSEN = {10: (0.137, 0.077), 20: (0.168, 0.092), 29: (0.179, 0.097), 40: (0.187, 0.104)}


@pytest.mark.skipif(not PCS, reason="QAEMB_LEBEL_PCS does not name the folder of the published responses")
def test_the_published_table_is_reproduced_on_real_brains(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    succeed("qaemb", "use", "lebel_pcs", cwd=project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["distill"] = {"students": {}}  # minutes, for a student that no model here uses
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    succeed("dvc", "repro", "report", "publish", cwd=project)
    for model, expected in REFERENCE.items():
        scores = metrics(project, "encode", model)
        found = (scores["uts03"]["mean_r"], scores["uts01"]["mean_r"])
        assert found == pytest.approx(expected, abs=0.003), model
    # Readable features alone are past the published answers and the black box, and add to it.
    assert metrics(project, "encode", "readable")["uts03"]["mean_r"] >= 0.218
    joined, box = (metrics(project, "encode", name)["uts03"]["mean_r"] for name in ("readable+embedding", "embedding"))
    assert joined > box + 0.03
    curve = pd.read_csv(project / "data" / "work" / "selection" / "gpt4" / "curve.csv")
    path = curve[curve["method"] == "elastic_net"].set_index(["subject", "n_questions"])["r"]
    for size, expected in CHOSEN.items():
        assert (path["uts03", size], path["uts01", size]) == pytest.approx(expected, abs=0.003), size
    # 29 questions, by the method that sets are chosen with, keep nine tenths of what all 86 reach.
    greedy = curve[curve["method"] == "greedy"].set_index(["subject", "n_questions"])["r"]
    for subject in ("uts03", "uts01"):
        assert greedy[subject, 29] >= 0.9 * metrics(project, "encode", "gpt4")[subject]["mean_r"]
    assert stages_run(succeed("dvc", "repro", "report", "publish", cwd=project)) == []
