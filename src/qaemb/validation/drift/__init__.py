"""Have answers moved since a version of them that was accepted? Which questions, which way, on which texts."""

from qaemb.validation.drift.accepted import (
    Origin,
    Reference,
    Version,
    is_whole,
    read_reference,
    sampled,
    write_reference,
)
from qaemb.validation.drift.compare import DRIFT_TABLES, Drift, compare, drift_figures, drift_tables
from qaemb.validation.drift.words import PAGE, headline, printed, write_report

__all__ = [
    "DRIFT_TABLES",
    "PAGE",
    "Drift",
    "Origin",
    "Reference",
    "Version",
    "compare",
    "drift_figures",
    "drift_tables",
    "headline",
    "is_whole",
    "printed",
    "read_reference",
    "sampled",
    "write_reference",
    "write_report",
]
