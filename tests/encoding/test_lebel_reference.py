"""Real responses, where a folder has lebel_pcs: the published scores within .003, and chance where chance should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from qaemb.encoding.recording import ResponseFile
from qaemb.encoding.results import read_predictions
from qaemb.encoding.scores import p_values
from qaemb.files import read_json
from qaemb.settings import Settings
from qaemb.stages.encode import encode
from qaemb.stages.features import features
from qaemb.stages.inputs import dataset
from qaemb.stats import q_values
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
DATA = os.environ.get("QAEMB_LEBEL_PCS")
EXPECTED = {  # mean r over 200 components: uts03, uts01
    "word_rate": (0.078, 0.051),
    "gpt4": (0.198, 0.108),
    "gpt4+word_rate": (0.202, 0.112),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> tuple[Settings, Workspace]:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    profile = yaml.safe_load((ROOT / "data" / "profiles" / "lebel_pcs.yaml").read_text())
    values |= {name: section for name, section in profile.items() if name != "path_from"}
    values["dataset"]["path"] = str(Path(str(DATA)).absolute())
    settings, workspace = Settings.model_validate(values), Workspace(tmp_path_factory.mktemp("lebel_pcs"))
    dataset(settings, workspace)
    for space in ("word_rate", "gpt4"):
        features(settings, workspace, space)
    return settings, workspace


@pytest.mark.skipif(not DATA, reason="QAEMB_LEBEL_PCS does not name a folder with lebel_pcs")
@pytest.mark.parametrize("name", EXPECTED)
def test_published_scores_are_met(project, name):
    settings, workspace = project
    encode(settings, workspace, name)
    metrics = read_json(workspace.metrics("encode", name))
    found = tuple(metrics[subject]["mean_r"] for subject in ("uts03", "uts01"))
    assert found == pytest.approx(EXPECTED[name], abs=0.003)


@pytest.mark.skipif(not DATA, reason="QAEMB_LEBEL_PCS does not name a folder with lebel_pcs")
@pytest.mark.parametrize("subject", ["uts03", "uts01"])
def test_predictions_are_above_chance_in_their_place_and_not_half_a_story_later(project, subject):
    settings, workspace = project
    encode(settings, workspace, "gpt4")
    rows = read_json(workspace.encoding("gpt4") / "model.json")["test_rows"][subject]
    stored = read_predictions(workspace.encoding("gpt4"), subject, rows)
    predicted = np.split(stored.astype(np.float64), np.cumsum(list(rows.values()))[:-1])
    responses = ResponseFile(workspace.dataset / "responses" / f"{subject}.h5")
    measured = [responses.read(story, slice(0, responses.n_voxels)) for story in rows]
    assert (q_values(p_values(predicted, measured, 1000, 0)) < 0.05).mean() > 0.5
    shifted = [np.roll(own, len(own) // 2, axis=0) for own in predicted]
    p = p_values(shifted, measured, 1000, 0)
    assert (q_values(p) < 0.05).sum() == 0
    assert (p < 0.05).mean() < 0.1
