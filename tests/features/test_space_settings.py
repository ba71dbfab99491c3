"""What the settings of a space refuse, and the examples of docs/features.md."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from qaemb.features.builders import BUILDERS
from qaemb.settings import ModelSettings, SpaceSettings

TEXT = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
SPACES = {name: space for block in BLOCKS for name, space in block.get("features", {}).get("spaces", {}).items()}
MODELS = {name: model for block in BLOCKS for name, model in block.get("model", {}).items()}
HIDDEN = {"kind": "hidden", "input": "m", "model": "m", "segmentation": "words10", "layer": 6, "pooling": "last"}


def test_every_kind_has_a_builder():
    assert set(get_args(SpaceSettings.model_fields["kind"].annotation)) == set(BUILDERS)


@pytest.mark.parametrize("key", ["model", "segmentation", "layer", "pooling"])
def test_hidden_names_what_it_lacks(key):
    with pytest.raises(ValidationError, match=f"a space of kind `hidden` needs `{key}`"):
        SpaceSettings.model_validate({name: value for name, value in HIDDEN.items() if name != key})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**HIDDEN, "pooling": "first"}, "'last', 'mean' or 'mean_text'"),
        ({**HIDDEN, "kind": "embedding"}, "`layer` belongs to kind hidden, not `embedding`"),
        ({**HIDDEN, "path": "m"}, "`path` belongs to kind static or eng1000, not `hidden`"),
        ({"kind": "eng1000", "input": "x"}, "kind `eng1000` needs `path`"),
        ({"kind": "static", "path": "a/glove.txt", "input": "data/work/dataset"}, "so that DVC sees a change of it"),
    ],
)
def test_settings_that_would_be_ignored_or_unseen_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SpaceSettings.model_validate(settings)


def test_the_input_may_be_the_folder_of_the_file():
    assert SpaceSettings(kind="static", path=Path("a/glove.txt"), input=Path("a")).path == Path("a/glove.txt")


@pytest.mark.parametrize("name", SPACES)
def test_an_example_of_a_space_is_valid(name):
    SpaceSettings.model_validate(SPACES[name])


@pytest.mark.parametrize("name", MODELS)
def test_an_example_of_a_model_is_valid(name):
    ModelSettings.model_validate(MODELS[name])


def test_there_is_an_example_of_every_kind_and_all_blocks_are_examples():
    assert {space["kind"] for space in SPACES.values()} == set(BUILDERS)
    assert all(set(block) <= {"features", "model", "encode", "segments"} for block in BLOCKS)


def test_the_joined_spaces_of_the_examples_exist():
    parts = [
        part for block in BLOCKS for spaces in block.get("encode", {}).get("spaces", {}).values() for part in spaces
    ]
    assert parts
    assert set(parts) <= set(SPACES)
