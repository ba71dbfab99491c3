"""The adapters by name, as `dataset.adapter` in params.yaml names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qaemb.datasets.bids.source import BidsSource, bids_checks
from qaemb.datasets.doctor.findings import Check
from qaemb.datasets.ds003020 import Ds003020, ds003020_checks
from qaemb.datasets.folder import FolderSource, folder_checks
from qaemb.datasets.lebel_pcs import LebelPcs, lebel_pcs_checks
from qaemb.datasets.source import Source
from qaemb.datasets.words import LabelRules
from qaemb.errors import BadInput
from qaemb.settings import BidsSettings, DatasetSettings

SOURCES: dict[str, Callable[[Path, DatasetSettings], Source]] = {
    "ds003020": lambda folder, section: Ds003020(folder, LabelRules.of(section)),
    "lebel_pcs": lambda folder, section: LebelPcs(folder, LabelRules.of(section)),
    "folder": lambda folder, section: FolderSource(folder, LabelRules.of(section)),
    "bids": lambda folder, section: BidsSource(folder, section.bids, LabelRules.of(section)),
}


def open_source(section: DatasetSettings, root: Path) -> Source:
    """Return the source that a section `dataset` of params.yaml names, its path under `root` unless it is absolute."""
    return SOURCES[section.adapter](root / section.path, section)


CHECKS: dict[str, Callable[[Path, BidsSettings, LabelRules], list[Check]]] = {
    "ds003020": lambda folder, _, rules: ds003020_checks(folder, rules),
    "lebel_pcs": lambda folder, _, rules: lebel_pcs_checks(folder, rules),
    "folder": lambda folder, _, rules: folder_checks(folder, rules),
    "bids": bids_checks,
}


_MARKS = {
    "ds003020": ("derivative/", "derivative"),
    "folder": ("stories.csv", "stories.csv"),
    "lebel_pcs": ("texts.json or SUBJECT/train/STORY.pkl", "texts.json", "*/*/*.pkl"),
    "bids": ("sub-*/ or derivatives/", "sub-*", "derivatives"),
}
"""Adapter: the mark in words, then patterns. The first that fits is taken: all of ds003020 is a BIDS folder, too."""


def detect_adapter(folder: Path) -> str:
    """Return the name of the adapter; BadInput says what was looked for, if the folder is not there or nothing fits."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    for adapter, (_, *patterns) in _MARKS.items():
        if any(next(folder.glob(pattern), None) is not None for pattern in patterns):
            return adapter
    looked = "; ".join(f"{adapter}: {words}" for adapter, (words, *_) in _MARKS.items())
    raise BadInput(f"{folder} is of no known kind ({looked}); name one with --adapter to see what is missing")
