"""The recipes of CONTRIBUTING.md: the files are there, and a name that is missing in one of two places is found."""

import re
from pathlib import Path
from typing import get_args

import pytest

from qaemb.answers.engines import ENGINES
from qaemb.features.builders import BUILDERS
from qaemb.selection.methods import CONTROLS, METHODS
from qaemb.settings import AnswererSettings, SpaceSettings
from qaemb.settings.modelling import SelectionMethod

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"(?:src|data(?!/work)|docs|tests|\.ci)/[\w./-]*\w", TEXT)) | {"LICENSE", "CHANGELOG.md"}),
)
def test_every_path_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_settings_know_every_kind_of_feature_space_and_no_other() -> None:
    assert set(get_args(SpaceSettings.model_fields["kind"].annotation)) == set(BUILDERS)


def test_settings_know_every_engine_and_no_other() -> None:
    engines = set(get_args(AnswererSettings.model_fields["engine"].annotation))
    assert engines == set(ENGINES) | {"ensemble", "cascade"}  # these two are made of other answerers


def test_settings_know_every_selection_method_and_no_control() -> None:
    assert set(get_args(SelectionMethod)) == set(METHODS) - set(CONTROLS)
