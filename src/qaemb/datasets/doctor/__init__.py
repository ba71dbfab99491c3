"""The doctor: what is missing, wrong or suspicious in a folder of stories and responses, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qaemb.datasets.doctor.bids import bids_checks
from qaemb.datasets.doctor.detect import detect_adapter
from qaemb.datasets.doctor.ds003020 import ds003020_checks
from qaemb.datasets.doctor.findings import Check, Finding, examine
from qaemb.datasets.doctor.folder import folder_checks
from qaemb.datasets.doctor.lebel_pcs import lebel_pcs_checks
from qaemb.settings import BidsSettings

__all__ = ["CHECKS", "Check", "Finding", "detect_adapter", "examine"]

CHECKS: dict[str, Callable[[Path, BidsSettings], list[Check]]] = {
    "ds003020": lambda folder, _: ds003020_checks(folder),
    "lebel_pcs": lambda folder, _: lebel_pcs_checks(folder),
    "folder": lambda folder, _: folder_checks(folder),
    "bids": bids_checks,
}
