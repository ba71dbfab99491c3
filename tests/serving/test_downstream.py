"""The downstream example on a property that the answers determine, and where it can't run."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from qaemb.errors import BadInput
from qaemb.serving import ServedFeatures, build_store, read_manifest
from qaemb.stages.served_models import Rows, features_then, predict_now, train
from qaemb.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "downstream.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("downstream_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_params(published) -> Path:
    root = published.workspace.root
    values = published.settings.model_dump(mode="json", by_alias=True)
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    return root


def test_a_property_is_predicted_on_held_out_stories(published, example, capsys):
    auc = example.main(_write_params(published), "core")
    out = capsys.readouterr().out
    assert auc > 0.9
    assert "60 sentences to train, 30 of other stories to test, 3 questions of `core`" in out
    assert "`p2` from the answers to other questions" in out
    assert "offline and online predictions are the same; model m-" in out


def test_what_the_example_needs_is_named(published, example, tmp_path):
    root = _write_params(published)
    with pytest.raises(BadInput, match="`gold` is not published"):
        example.main(root, "gold")
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    with pytest.raises(BadInput, match="nothing is published"):
        example.main(tmp_path)


def test_a_model_keeps_its_version_and_refuses_what_another_one_serves(published, tmp_path):
    workspace = Workspace(tmp_path)
    shutil.copytree(published.repo, workspace.feature_repo)
    now = pd.Timestamp.now(tz="UTC")
    rows = Rows(published.segments, now, list(published.margins[:, 7] > 0), "p7")
    model = train(workspace, "core", rows, LogisticRegression())
    assert model.contract.service == read_manifest(published.repo).versions[0].service
    first = predict_now(workspace, model, published.segments)
    assert np.array_equal(first, model.predict_proba(features_then(workspace, model.contract, published.segments, now)))
    full = ServedFeatures(workspace.feature_repo).features_of(published.segments, "full")
    with pytest.raises(BadInput, match="was given others: missing none; unexpected `q00`"):
        model.predict(full)
    with pytest.raises(BadInput, match="has no column `q00`; it has q07, q02, q05, q11"):
        train(workspace, "core", rows, LogisticRegression(), ["q00"])
    other = replace(read_manifest(published.repo), answerer="other", answerer_key="other-key")
    build_store(workspace.feature_repo, other, published.segments, -published.margins)
    with pytest.raises(BadInput, match=r"`core_v_\w+` is a former version, of answerer `hash`, .* of `other`"):
        predict_now(workspace, model, published.segments)
    again = model.predict_proba(features_then(workspace, model.contract, published.segments, now))
    assert np.array_equal(again, first)
