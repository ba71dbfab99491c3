"""Have answers moved since a version of them that was accepted? Which questions, which way, on which texts."""

from qaemb.validation.drift.compare import Drift, compare, drift_figures
from qaemb.validation.drift.page import PAGE, write_report
from qaemb.validation.drift.reference import Reference, read_reference, write_reference
from qaemb.validation.drift.rules import DRIFT_TABLES, drift_tables
from qaemb.validation.drift.version import Origin, Version, is_whole, sampled
from qaemb.validation.drift.words import headline, printed

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
