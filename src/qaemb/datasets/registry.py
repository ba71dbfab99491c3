"""The adapters by name, as `dataset.adapter` in params.yaml names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qaemb.datasets.bids import BidsSource
from qaemb.datasets.ds003020 import Ds003020
from qaemb.datasets.folder import FolderSource
from qaemb.datasets.lebel_pcs import LebelPcs
from qaemb.datasets.source import Source
from qaemb.settings import DatasetSettings

SOURCES: dict[str, Callable[[Path, DatasetSettings], Source]] = {
    "ds003020": lambda folder, _: Ds003020(folder),
    "lebel_pcs": lambda folder, _: LebelPcs(folder),
    "folder": lambda folder, _: FolderSource(folder),
    "bids": lambda folder, section: BidsSource(folder, section.bids),
}


def open_source(section: DatasetSettings, root: Path) -> Source:
    """Return the source that a section `dataset` of params.yaml names, its path under `root` unless it is absolute."""
    return SOURCES[section.adapter](root / section.path, section)
