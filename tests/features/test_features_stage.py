from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from qaemb.errors import BadMatrix, BadParameter
from qaemb.features.space import read_space
from qaemb.files import read_json, write_json
from qaemb.settings import Settings
from qaemb.stages.features import features
from qaemb.workspace import Workspace

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(source) -> tuple[Settings, Workspace]:
    """A workspace whose data set is the made one, with an approved job `j` on `words`."""
    workspace = Workspace(source.root)
    source.qa("words", before=2)
    for made, place in (
        (source.dataset, workspace.dataset),
        (source.root / "segments", workspace.work / "segments"),
        (source.root / "answers", workspace.answers("j")),
        (source.root / "validation", workspace.validation("j")),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        made.rename(place)
    values = yaml.safe_load(PARAMS.read_text())
    values["validate"].pop("drift")
    values["distill"] = {}
    values["segments"] = {"words": {"kind": "words", "before": 2}}
    answerer = next(iter(values["answers"]["spec"]))
    values["answers"]["jobs"] = {"j": {"answerer": answerer, "segmentation": "words", "set": "core"}}
    values["features"]["spaces"] = {
        "qa": {"kind": "qa", "job": "j", "input": "x"},
        "rate": {"kind": "word_rate", "input": "x"},
        "embedding": {"kind": "embedding", "model": "minilm", "segmentation": "tr", "input": "x"},
    }
    values["encode"]["spaces"], values["select"]["spaces"] = {"qa": ["qa"]}, []
    values["publish"]["job"] = "j"
    return Settings.model_validate(values), workspace


def test_the_stage_writes_the_table_and_what_it_is(project, capsys):
    features(*project, "qa")
    folder = project[1].features("qa")
    assert sorted(path.name for path in folder.iterdir()) == ["features.parquet", "space.json"]
    space = read_space(folder / "features.parquet")
    assert {story: len(values) for story, values in space.values.items()} == {"one": 9, "two": 5}
    about = read_json(folder / "space.json")
    assert about["features"] == ["food", "motion"]
    assert (about["n_stories"], about["n_rows"], about["n_features"]) == (2, 14, 2)
    assert capsys.readouterr().out == "features qa: 2 features, 2 stories, 14 rows\n"


def test_a_refused_matrix_leaves_the_old_features(project):
    features(*project, "qa")
    folder = project[1].features("qa")
    before = (folder / "features.parquet").read_bytes()
    write_json(project[1].validation("j") / "validation.json", {"success": False})
    with pytest.raises(BadMatrix):
        features(*project, "qa")
    assert (folder / "features.parquet").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["qa"]


def test_an_unknown_space_lists_the_known_ones(project):
    with pytest.raises(BadParameter, match="no feature space `qa2`.*qa, rate, embedding"):
        features(*project, "qa2")


def test_an_unknown_segmentation_names_the_space(project):
    with pytest.raises(BadParameter, match=r"features\.spaces\.embedding: no segmentation `tr`"):
        features(*project, "embedding")
