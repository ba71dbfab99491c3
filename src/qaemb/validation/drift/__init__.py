"""Have answers moved since a version of them that was accepted? Which questions, which way, on which texts."""

from qaemb.validation.drift.accepted import (
    Origin,
    Reference,
    Version,
    read_reference,
    write_reference,
)
from qaemb.validation.drift.compare import DRIFT_TABLES, Drift, compare
from qaemb.validation.drift.words import PAGE, headline, printed, write_report

__all__ = [
    "DRIFT_TABLES",
    "PAGE",
    "Drift",
    "Origin",
    "Reference",
    "Version",
    "compare",
    "headline",
    "printed",
    "read_reference",
    "write_reference",
    "write_report",
]
