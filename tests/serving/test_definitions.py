"""The generated naming function, the manifest's checks, and what a module of definitions shows to Feast."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.questions import Question
from qaemb.serving import Manifest, feast_objects, write_manifest
from qaemb.serving.definitions import _naming_source

DEFINITIONS = Path(__file__).parents[2] / "feature_repo" / "definitions.py"
MANIFEST = Manifest(
    "j",
    "a",
    "key",
    "digest",
    (Question("food", "Food?"), Question("it's", "It?")),
    {"core": ("it's",), "a-b": ("food",)},
)


def _function(names):
    namespace = {}
    exec(_naming_source(names), namespace)
    return namespace["name_margins"]


def test_the_naming_function_slices_by_place_and_stands_missing_rows():
    named = _function(["food", "it's"])({"margins": [[1.5, -2.0], None, np.float32([3, 4]), [None, 1.0]]})
    assert list(named) == ["food", "it's"]
    assert named["food"] == pytest.approx([1.5, np.nan, 3.0, np.nan], nan_ok=True)
    assert named["it's"] == pytest.approx([-2.0, np.nan, 4.0, 1.0], nan_ok=True)
    assert all(type(value) is float for value in named["food"])


def test_the_naming_function_stands_the_dry_run_of_apply_and_no_rows():
    assert all(np.isnan(values).all() for values in _function(["food", "it's"])({"margins": [[0.0]]}).values())
    assert _function(["food"])({"margins": []}) == {"food": []}


@pytest.fixture
def load_definitions(tmp_path):
    def load(manifest):
        shutil.copy(DEFINITIONS, tmp_path)
        if manifest is not None:
            write_manifest(tmp_path / "data", manifest)
        spec = importlib.util.spec_from_file_location("definitions_under_test", tmp_path / "definitions.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_services_are_variables_of_the_module(load_definitions):
    module = load_definitions(MANIFEST)
    services = {name for name in dir(module) if type(getattr(module, name)).__name__ == "FeatureService"}
    assert services == {"service_core", "service_a-b"}


def test_a_repository_without_a_publication_defines_nothing(load_definitions):
    module = load_definitions(None)
    assert not [name for name in dir(module) if type(getattr(module, name)).__module__.startswith("feast")]
    assert feast_objects(None) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"questions": (*MANIFEST.questions, Question("food", "Meal?"))}, "`food` stands twice"),
        ({"questions": (*MANIFEST.questions, Question("margins", "M?"))}, "`margins` can't be published"),
        ({"sets": {"core": ("food", "rain")}}, "set `core` can't be published: job `j` has no answers to `rain`"),
    ],
)
def test_what_cannot_be_published_is_named(change, says):
    with pytest.raises(BadInput, match=says):
        replace(MANIFEST, **change)
