"""Stage `distill` with kind `lm`: the trained model is a model like any other, and MLflow's copy answers as it does."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers import build_answerer
from qaemb.errors import BadParameter
from qaemb.files import read_json, write_json, write_table
from qaemb.identity import file_sha256, text_id
from qaemb.models.folder import read_model_info
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import AnswererSettings, Settings
from qaemb.stages.distill import distill
from qaemb.workspace import Workspace

from .conftest import QUESTIONS, planted

PARAMS = Path(__file__).parents[2] / "params.yaml"
BANK = [Question(f"q{number}", text) for number, text in enumerate(QUESTIONS)]


@pytest.fixture
def workspace(tmp_path, llama) -> Workspace:
    """Answers of a teacher who looks for a dog, as the stages before leave them; story7 is for testing."""
    own, cells = Workspace(tmp_path), planted()
    shutil.copytree(llama, own.model("llama"))
    write_tables(own.questions, BANK, [QuestionSet("full", tuple(BANK))], [])
    occurrences = pd.DataFrame({"story": cells.groups, "index": 0, "segment_id": map(text_id, cells.texts)})
    segments = pd.DataFrame({"segment_id": map(text_id, cells.texts), "text": cells.texts}).drop_duplicates()
    write_table(own.segments("tr") / "segments.parquet", segments)
    write_table(own.segments("tr") / "occurrences.parquet", occurrences)
    for kind, values in (("margin", 8 * cells.labels - 4), ("mass", np.ones_like(cells.labels))):
        table = pd.DataFrame(values, columns=[question.name for question in BANK])
        table.insert(0, "segment_id", list(map(text_id, cells.texts)))
        write_table(own.answers("teach") / f"{kind}.parquet", table.drop_duplicates("segment_id"))
    digest = file_sha256(own.answers("teach") / "margin.parquet")
    write_json(own.validation("teach") / "validation.json", {"success": True, "answers_sha256": digest})
    return own


def settings(workspace: Workspace, prompt: str, **changes) -> Settings:
    values = yaml.safe_load(PARAMS.read_text())
    values["dataset"] |= {"name": "tiny", "test_stories": ["story7"]}
    values["model"]["llama"] = {"source": "folder", "path": str(workspace.model("llama")), "kind": "causal"}
    values["answers"]["jobs"]["teach"] = {"answerer": "smollm2", "segmentation": "tr", "set": "full"}
    lm = {"prompt": prompt, "rank": 8, "questions_per_text": 2, "epochs": 8.0, "learning_rate": 0.01}
    own = {"kind": "lm", "model": "llama", "job": "teach", "input": "data/work", "held_out_share": 0.2, "lm": lm}
    values["distill"] = {"students": {"mine": own | changes}}
    return Settings.model_validate(values)


def test_a_language_model_learns_from_a_job_and_mlflow_holds_the_same_answers(workspace, short_prompt, capsys):
    import mlflow

    distill(settings(workspace, short_prompt), workspace, "mine")
    folder = workspace.students / "mine"
    assert read_model_info(folder / "model").kind == "causal"
    metrics = read_json(workspace.metrics("distill", "mine"))
    assert metrics["test_auc"] > 0.9
    kept, run = read_json(folder / "training.json"), read_json(workspace.run_figures("distill", "mine"))
    assert not {"seconds", "cells_per_s"} & {*metrics, *kept["figures"], *kept["curve"][-1]}  # other ones in each run
    assert kept["curve"] == [{key: value for key, value in row.items() if key != "seconds"} for row in run["curve"]]
    assert run["cells_per_s"] > 0
    assert f"{metrics['test_auc']:.3f} on test stories" in capsys.readouterr().out
    spec = AnswererSettings(engine="shared", model="mine", prompt=short_prompt)
    expected = build_answerer("mine", spec, folder / "model").answer(["the dog sat", "a red door"], QUESTIONS).margin
    mlflow.set_tracking_uri(f"sqlite:///{workspace.mlruns.resolve() / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model(
        "models:/student-mine@champion", model_config={"model_folder": str(workspace.model("llama"))}
    )
    table = pd.DataFrame({"text": ["the dog sat", "a red door"]})
    found = loaded.predict(table, params={"questions": QUESTIONS})
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-4)


def test_two_segmentations_are_refused(workspace, short_prompt):
    labels = pd.DataFrame(np.zeros((1, 2), np.float32), columns=QUESTIONS)
    tables = [labels.assign(story=story, tr=0) for story in sorted(set(planted().groups))]
    write_table(workspace.dataset / "published" / "gpt4.parquet", pd.concat(tables))
    shutil.copytree(workspace.segments("tr"), workspace.segments("tr2"))
    own = settings(workspace, short_prompt, job=None, published="gpt4", segmentations=["tr", "tr"][:1])
    twice = own.distill.students["mine"].model_copy(update={"segmentations": ["tr", "tr2"]})
    own = own.model_copy(
        update={
            "distill": own.distill.model_copy(update={"students": {"mine": twice}}),
            "segments": own.segments | {"tr2": own.segments["tr"]},
        }
    )
    with pytest.raises(BadParameter, match="kind `lm` reads one segmentation; list one"):
        distill(own, workspace, "mine")
