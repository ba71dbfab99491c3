"""The downstream example on a property that the answers determine, and where it can't run."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from qaemb.errors import BadInput

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
    assert "offline and online predictions are the same" in out


def test_what_the_example_needs_is_named(published, example, tmp_path):
    root = _write_params(published)
    with pytest.raises(BadInput, match="`gold` is not published"):
        example.main(root, "gold")
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    with pytest.raises(BadInput, match="nothing is published"):
        example.main(tmp_path)
