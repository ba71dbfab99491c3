"""The examples of docs/datasets.md are sections that params.yaml may hold, and the defaults that they show are true."""

import re
from pathlib import Path

import pytest
import yaml

from qaemb.datasets.bids import BidsSettings
from qaemb.datasets.registry import ADAPTERS, adapter_settings
from qaemb.settings import DatasetSettings

TEXT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
SECTIONS = [yaml.safe_load(block)["dataset"] for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["adapter"])
def test_an_example_is_a_valid_section(section):
    defaults = ADAPTERS[section["adapter"]].settings
    assert adapter_settings(DatasetSettings.model_validate(section)) == (defaults and defaults())


def test_every_setting_of_bids_is_shown():
    (shown,) = [section["bids"] for section in SECTIONS if "bids" in section]
    assert list(shown) == list(BidsSettings.model_fields)
