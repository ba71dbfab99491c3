"""The adapters by name, as `dataset.adapter` in params.yaml names them: a new one is a module and an entry here."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from qaemb.datasets import bids, ds003020, lebel_pcs
from qaemb.datasets import folder as plain_folder
from qaemb.datasets.doctor import Check
from qaemb.datasets.source import Adapter, Source
from qaemb.datasets.words import LabelRules
from qaemb.errors import BadInput, BadParameter, require
from qaemb.settings import DatasetSettings, describe_errors
from qaemb.settings.base import Section

ADAPTERS: dict[str, Adapter] = {
    "ds003020": ds003020.ADAPTER,
    "folder": plain_folder.ADAPTER,
    "lebel_pcs": lebel_pcs.ADAPTER,
    "bids": bids.ADAPTER,
}
"""A folder is of the first kind that fits: all of ds003020 is a BIDS folder, too."""


def adapter_settings(section: DatasetSettings, params: Path = Path("params.yaml")) -> Section | None:
    """Return the settings of the section's adapter, its defaults where there are none; None for one without settings.

    BadParameter names the file `params` and the key: an unknown adapter or key, a value out of range, or settings of
    another adapter.
    """
    adapter = require(ADAPTERS, section.adapter, "adapter", f"{params}, dataset.adapter")
    settings = adapter.settings() if adapter.settings else None
    for name, values in section.adapter_sections.items():
        model = ADAPTERS[name].settings if name in ADAPTERS else None
        if model is None:
            raise BadParameter(f"{params}: unknown parameter `dataset.{name}`; remove it or correct its name")
        try:
            checked = model.model_validate(values)
        except ValidationError as error:
            raise BadParameter(describe_errors(params, error, values, f"dataset.{name}.")) from error
        if name == section.adapter:
            settings = checked
        elif checked != model():
            raise BadParameter(
                f"{params}: dataset: section `{name}` belongs to adapter `{name}`, not `{section.adapter}`"
            )
    return settings


def open_source(section: DatasetSettings, root: Path) -> Source:
    """Return the source that a section `dataset` of params.yaml names, its path under `root` unless it is absolute."""
    settings = adapter_settings(section)
    adapter = ADAPTERS[section.adapter]
    return adapter.open(root / section.path, *([] if settings is None else [settings]), **_rules(adapter, section))


def folder_checks(folder: Path, name: str, section: DatasetSettings | None = None) -> list[Check]:
    """Return the checks of a folder as adapter `name` reads it, with the settings of a section or the defaults."""
    adapter = ADAPTERS[name]
    rules = _rules(adapter, section)
    if adapter.settings is None:
        return adapter.checks(folder, **rules)
    return adapter.checks(folder, adapter.settings() if section is None else adapter_settings(section), **rules)


def _rules(adapter: Adapter, section: DatasetSettings | None) -> dict[str, LabelRules]:
    return {"rules": LabelRules.of(section)} if adapter.has_rules and section is not None else {}


def detect_adapter(folder: Path) -> str:
    """Return the name of the adapter; BadInput says what was looked for, if the folder is not there or nothing fits."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    for name, adapter in ADAPTERS.items():
        if any(next(folder.glob(pattern), None) is not None for pattern in adapter.patterns):
            return name
    marks = "; ".join(f"{name}: {adapter.mark}" for name, adapter in ADAPTERS.items())
    raise BadInput(f"{folder} is of no known kind ({marks}); name one with --adapter to see what is missing")
